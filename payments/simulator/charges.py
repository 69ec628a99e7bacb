"""
Commands to the provider, and the state of charges and refunds, which is computed from their ledger entries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .behaviours import APPROVED, BEHAVIOURS, Behaviour, ResponseMode
from .ledger import EntryKind, LedgerEntry

Json = dict[str, Any]

REFUND_STATUSES = {
    EntryKind.REFUND_OPENED: "processing",
    EntryKind.REFUNDED: "succeeded",
    EntryKind.REFUND_DECLINED: "declined",
}


class KeyReused(Exception):
    """
    The idempotency key was used before with another amount or currency.
    """


class NoSuchCharge(Exception):
    """
    No charge has this key or reference.
    """


class NoSuchRefund(Exception):
    """
    The charge has no refund with this key.
    """


@dataclass(frozen=True, kw_only=True)
class ChargeCommand:
    """
    A charge as the shop requests it, in minor units.
    """

    key: str
    order_id: str
    amount: int
    currency: str
    payment_method: str


@dataclass(frozen=True, kw_only=True)
class RefundCommand:
    key: str
    amount: int
    currency: str


@dataclass(frozen=True)
class RefundRecord:
    entry: LedgerEntry
    """The latest entry of the refund."""

    @property
    def status(self) -> str:
        return REFUND_STATUSES[self.entry.kind]

    def as_json(self) -> Json:
        return {
            "key": self.entry.key,
            "charge_key": self.entry.charge,
            "reference": self.entry.reference,
            "status": self.status,
            "reason": self.entry.reason,
            "amount": self.entry.amount,
            "currency": self.entry.currency,
        }


@dataclass(frozen=True)
class ChargeRecord:
    key: str
    entries: Sequence[LedgerEntry]

    def of_kind(self, *kinds: EntryKind) -> list[LedgerEntry]:
        return [entry for entry in self.entries if entry.kind in kinds]

    def first(self, *kinds: EntryKind) -> LedgerEntry | None:
        return next(iter(self.of_kind(*kinds)), None)

    @property
    def requested(self) -> LedgerEntry | None:
        """
        Return the request for the charge, unless the shop only cancelled it.
        """
        return self.first(EntryKind.CHARGED)

    @property
    def captured(self) -> LedgerEntry | None:
        return self.first(EntryKind.CAPTURED)

    @property
    def exists(self) -> bool:
        return bool(self.first(EntryKind.CHARGED, EntryKind.CANCELLED))

    @property
    def status(self) -> str:
        if self.captured:
            return "succeeded"
        end = self.first(EntryKind.DECLINED, EntryKind.CANCELLED)
        return str(end.kind) if end else "processing"

    @property
    def reason(self) -> str:
        declined = self.first(EntryKind.DECLINED)
        return declined.reason if declined and not self.captured else ""

    @property
    def reference(self) -> str:
        entry = self.first(EntryKind.CHARGED, EntryKind.CANCELLED)
        return entry.reference if entry else ""

    @property
    def behaviour(self) -> Behaviour:
        drawn = self.first(EntryKind.DRAWN)
        return BEHAVIOURS[drawn.reason] if drawn else APPROVED

    @property
    def open_seq(self) -> int | None:
        """
        Return the `seq` of its request, if that is due and still open.
        """
        request, closed = self.requested, {entry.about for entry in self.entries}
        return request.seq if request and request.due and request.seq not in closed else None

    def has_shown(self, fault: str) -> bool:
        return any(entry.reason == fault for entry in self.of_kind(EntryKind.FAULTED))

    def refunds(self) -> dict[str, RefundRecord]:
        return {entry.key: RefundRecord(entry) for entry in self.of_kind(*REFUND_STATUSES)}

    @property
    def refundable(self) -> int:
        """
        Return the captured amount less all refunds, those in progress included.
        """
        refunded = sum(refund.entry.amount or 0 for refund in self.refunds().values() if refund.status != "declined")
        return (self.captured.amount or 0) - refunded if self.captured else 0

    def webhooks(self) -> Iterator[tuple[LedgerEntry, list[LedgerEntry]]]:
        """
        Yield each webhook with the results of its deliveries.
        """
        results = self.of_kind(EntryKind.WEBHOOK_RESULT)
        for webhook in self.of_kind(EntryKind.WEBHOOK):
            yield webhook, [result for result in results if result.detail["callback"] == webhook.seq]

    def as_json(self, address: str) -> Json:
        """
        Return the state as the API reports it; `address` is that of the pages.
        """
        request, captured = self.requested, self.captured
        return {
            "key": self.key,
            "reference": self.reference,
            "order_id": request.order_id if request else "",
            "status": self.status,
            "reason": self.reason,
            "amount": request.amount if request else None,
            "currency": request.currency if request else None,
            "captured": {"amount": captured.amount, "currency": captured.currency} if captured else None,
            "page": f"{address}/payments/{self.reference}",
        }


@dataclass(frozen=True, kw_only=True)
class ChargeResponse:
    charge: ChargeRecord
    mode: ResponseMode = ResponseMode.NORMAL


@dataclass(frozen=True, kw_only=True)
class RefundResponse:
    refund: RefundRecord | None
    """None if the request had no effect."""
    mode: ResponseMode = ResponseMode.NORMAL
