"""
Commands to the provider, and the state of charges and refunds, which is computed from their ledger entries.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .behaviours import APPROVED, BEHAVIOURS, Behaviour, ResponseMode
from .ledger import EntryKind, Ledger, LedgerEntry, sortable

Json = dict[str, Any]

MOVED = """
kind IN ('charged', 'captured', 'refunded') AND charge IN (
    SELECT charge FROM entries WHERE kind IN ('captured', 'refunded') AND at >= ?
) ORDER BY seq
"""
REFUND_STATUSES = {
    EntryKind.REFUND_OPENED: "processing",
    EntryKind.REFUNDED: "succeeded",
    EntryKind.REFUND_DECLINED: "declined",
}


class CommandRejected(Exception):
    """
    A command had no effect. The API reports its code with this HTTP status.
    """

    code, status = "", 404


class KeyReused(CommandRejected):
    code, status = "idempotency_key_reused", 422


class NoSuchCharge(CommandRejected):
    code = "no_such_charge"


class NoSuchRefund(CommandRejected):
    code = "no_such_refund"


@dataclass(frozen=True, kw_only=True)
class ChargeCommand:
    key: str
    order_id: str
    amount: int
    """In minor units."""
    currency: str
    payment_method: str


@dataclass(frozen=True, kw_only=True)
class RefundCommand:
    key: str
    amount: int
    currency: str


def require_same_money(command: ChargeCommand | RefundCommand, earlier: LedgerEntry) -> None:
    if (command.amount, command.currency) != (earlier.amount, earlier.currency):
        raise KeyReused(f"{command.key} was used for {earlier.amount} {earlier.currency}.")


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
        Return the shop's request, or None if the shop only cancelled the charge.
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
        Return the `seq` of its request while that waits to be decided at its due time.
        """
        request, closed = self.requested, {entry.about for entry in self.entries}
        return request.seq if request and request.due and request.seq not in closed else None

    def has_shown(self, fault: str) -> bool:
        return any(entry.reason == fault for entry in self.of_kind(EntryKind.FAULTED))

    def refunds(self) -> dict[str, LedgerEntry]:
        """
        Return the latest entry of each refund, by its key.
        """
        return {entry.key: entry for entry in self.of_kind(*REFUND_STATUSES)}

    def refunded(self, *kinds: EntryKind) -> int:
        return sum(entry.amount or 0 for entry in self.refunds().values() if entry.kind in kinds)

    def as_json(self, address: str = "") -> Json:
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


def refund_as_json(entry: LedgerEntry) -> Json:
    return {
        "key": entry.key,
        "charge_key": entry.charge,
        "reference": entry.reference,
        "status": REFUND_STATUSES[entry.kind],
        "reason": entry.reason,
        "amount": entry.amount,
        "currency": entry.currency,
    }


def statement(ledger: Ledger, since: datetime | None = None) -> list[Json]:
    """
    Return every capture that was made or refunded since then, with all its refunds.
    """
    entries: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in ledger.entries(MOVED, sortable(since) if since else ""):
        entries[entry.charge].append(entry)
    charges = map(ChargeRecord, entries.keys(), entries.values())
    return [_statement_entry(charge, captured) for charge in charges if (captured := charge.captured)]


def _statement_entry(charge: ChargeRecord, captured: LedgerEntry) -> Json:
    refunds = charge.refunds().values()
    return {
        "charge_key": charge.key,
        "reference": charge.reference,
        "order_id": charge.as_json()["order_id"],
        "amount": captured.amount,
        "currency": captured.currency,
        "captured_at": sortable(captured.at),
        "refunds": [{"key": it.key, "reference": it.reference, "amount": it.amount} for it in refunds],
    }


@dataclass(frozen=True, kw_only=True)
class ChargeResponse:
    charge: ChargeRecord
    mode: ResponseMode = ResponseMode.NORMAL


@dataclass(frozen=True, kw_only=True)
class RefundResponse:
    refund: LedgerEntry | None
    """None if the request had no effect."""
    mode: ResponseMode = ResponseMode.NORMAL
