"""
Faults between the shop and its payment provider, each of which strikes one call.
"""

from collections.abc import Mapping
from enum import StrEnum

from .statistics import Statistics

CHARGE_CALLS = frozenset({"charge", "look_up", "cancel"})


class Fault(StrEnum):
    LOST_ANSWER = "lost answer"
    """The provider executes the request, and its answer is lost."""
    UNREACHABLE = "unreachable"
    NOT_CHARGED = "not charged"
    """The request is lost, and the caller does not know."""
    ANOTHER_AMOUNT = "captures another amount"
    """The provider accepts a little less than was requested."""
    UNDECIDED = "undecided"
    """The provider neither cancels nor captures a pending charge yet."""
    REFUND_REFUSED = "refund refused"
    REFUND_ANSWER_LOST = "refund's answer lost"


CALLS_OF: Mapping[Fault, frozenset[str]] = {
    Fault.LOST_ANSWER: CHARGE_CALLS,
    Fault.UNREACHABLE: CHARGE_CALLS | {"refund"},
    Fault.NOT_CHARGED: frozenset({"charge"}),
    Fault.ANOTHER_AMOUNT: frozenset({"charge"}),
    Fault.UNDECIDED: frozenset({"cancel"}),
    Fault.REFUND_REFUSED: frozenset({"refund"}),
    Fault.REFUND_ANSWER_LOST: frozenset({"refund"}),
}
"""The calls that each fault can strike."""


class Faults:
    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics
        self._scheduled: list[Fault] = []

    def schedule(self, fault: Fault) -> None:
        """
        Let the fault strike the next call that it can strike.
        """
        self._scheduled.append(fault)

    def clear(self) -> None:
        self._scheduled.clear()

    def strike(self, call: str) -> Fault | None:
        """
        Remove and return the fault that strikes this call, or None.
        """
        fault = next((fault for fault in self._scheduled if call in CALLS_OF[fault]), None)
        if fault:
            self._scheduled.remove(fault)
            self.statistics.count(fault)
        return fault
