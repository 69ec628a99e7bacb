"""
What a charge and its refunds are: a fold over their entries, which are all there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .behaviours import BEHAVIOURS, Behaviour
from .entries import Entry, Kind

Json = dict[str, Any]

REFUND_STATUSES = {
    Kind.REFUND_OPENED: "processing",
    Kind.REFUNDED: "succeeded",
    Kind.REFUND_DECLINED: "declined",
}


@dataclass(frozen=True)
class Refund:
    entry: Entry
    """The latest of it."""

    @property
    def status(self) -> str:
        return REFUND_STATUSES[self.entry.kind]

    def as_json(self) -> Json:
        told = self.entry
        return {
            "key": told.key,
            "charge_key": told.charge,
            "reference": told.reference,
            "status": self.status,
            "reason": told.reason,
            "amount": told.amount,
            "currency": told.currency,
        }


@dataclass(frozen=True)
class Charge:
    key: str
    entries: tuple[Entry, ...]

    def of_kind(self, *kinds: Kind) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind in kinds]

    def first(self, kind: Kind) -> Entry | None:
        return next(iter(self.of_kind(kind)), None)

    @property
    def asked(self) -> Entry | None:
        """
        What the shop asked for, unless it only ever cancelled.
        """
        return self.first(Kind.CHARGED)

    @property
    def captured(self) -> Entry | None:
        return self.first(Kind.CAPTURED)

    @property
    def is_known(self) -> bool:
        return bool(self.of_kind(Kind.CHARGED, Kind.CANCELLED))

    @property
    def status(self) -> str:
        if self.captured:
            return "succeeded"
        ended = self.of_kind(Kind.DECLINED, Kind.CANCELLED)
        return str(ended[0].kind) if ended else "processing"

    @property
    def reason(self) -> str:
        declined = self.first(Kind.DECLINED)
        return declined.reason if declined and not self.captured else ""

    @property
    def reference(self) -> str:
        return next((entry.reference for entry in self.of_kind(Kind.CHARGED, Kind.CANCELLED)), "")

    @property
    def behaviour(self) -> Behaviour | None:
        drawn = self.first(Kind.DRAWN)
        return BEHAVIOURS[drawn.reason] if drawn else None

    @property
    def open_seq(self) -> int | None:
        """
        The number of its entry that waits for the money to move, if there is a moment for that and it has not come.
        """
        done = {entry.about for entry in self.entries}
        return self.asked.seq if self.asked and self.asked.due and self.asked.seq not in done else None

    def has_shown(self, fault: str) -> bool:
        return any(entry.reason == fault for entry in self.of_kind(Kind.FAULTED))

    def refunds(self) -> dict[str, Refund]:
        return {entry.key: Refund(entry) for entry in self.of_kind(*REFUND_STATUSES)}

    @property
    def refundable(self) -> int:
        """
        What is left of the captured money, counting refunds in progress as gone.
        """
        gone = sum(refund.entry.amount or 0 for refund in self.refunds().values() if refund.status != "declined")
        return (self.captured.amount or 0) - gone if self.captured else 0

    def callbacks(self) -> Iterator[tuple[Entry, list[Entry]]]:
        """
        Yield each callback with the answers that it got.
        """
        answers = self.of_kind(Kind.ANSWERED)
        for callback in self.of_kind(Kind.CALLBACK):
            yield callback, [answer for answer in answers if answer.detail["callback"] == callback.seq]

    def as_json(self, address: str) -> Json:
        """
        Tell its state as the API does; `address` is where the pages are.
        """
        asked, captured = self.asked, self.captured
        return {
            "key": self.key,
            "reference": self.reference,
            "order_id": asked.order_id if asked else "",
            "status": self.status,
            "reason": self.reason,
            "amount": asked.amount if asked else None,
            "currency": asked.currency if asked else None,
            "captured": {"amount": captured.amount, "currency": captured.currency} if captured else None,
            "page": f"{address}/payments/{self.reference}",
        }
