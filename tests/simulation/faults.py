"""
What goes wrong between us and the bank, one call at a time.
"""

from collections.abc import Mapping
from enum import StrEnum

from .tally import Tally

ASKING = frozenset({"charge", "look_up", "cancel"})


class Fault(StrEnum):
    LOST_ANSWER = "lost answer"
    """The bank did as asked, and its answer was lost."""
    UNREACHABLE = "unreachable"
    NOT_CHARGED = "not charged"
    """The request was lost on its way, and so was that news."""
    ANOTHER_AMOUNT = "captures another amount"
    """A little less than we asked for."""
    UNDECIDED = "undecided"
    """The bank neither cancels nor captures a waiting charge yet."""
    REFUND_REFUSED = "refund refused"
    REFUND_ANSWER_LOST = "refund's answer lost"


STRIKES: Mapping[Fault, frozenset[str]] = {
    Fault.LOST_ANSWER: ASKING,
    Fault.UNREACHABLE: ASKING | {"refund"},
    Fault.NOT_CHARGED: frozenset({"charge"}),
    Fault.ANOTHER_AMOUNT: frozenset({"charge"}),
    Fault.UNDECIDED: frozenset({"cancel"}),
    Fault.REFUND_REFUSED: frozenset({"refund"}),
    Fault.REFUND_ANSWER_LOST: frozenset({"refund"}),
}
"""The calls that each fault may befall."""


class Faults:
    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._coming: list[Fault] = []

    def expect(self, fault: Fault) -> None:
        """
        Let it befall the next call that it may befall.
        """
        self._coming.append(fault)

    def clear(self) -> None:
        self._coming.clear()

    def strike(self, call: str) -> Fault | None:
        """
        Tell what befalls this call, if anything does.
        """
        fault = next((fault for fault in self._coming if call in STRIKES[fault]), None)
        if fault:
            self._coming.remove(fault)
            self.tally.happened(fault)
        return fault
