"""
Reports about the whole ledger: the statement, the newest charges, and the faults that took effect.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from .charges import ChargeRecord, Json
from .ledger import Ledger, LedgerEntry, sortable

FAULTS = "SELECT reason, count(*) AS times FROM entries WHERE kind = 'faulted' GROUP BY reason ORDER BY reason"
NEWEST = "SELECT charge FROM entries WHERE kind = 'charged' ORDER BY seq DESC LIMIT ?"
MOVED = """
kind IN ('charged', 'captured', 'refunded') AND charge IN (
    SELECT charge FROM entries WHERE kind IN ('captured', 'refunded') AND at >= ?
) ORDER BY seq
"""


def statement(ledger: Ledger, since: datetime | None = None) -> list[Json]:
    """
    Return every capture that was made or refunded since then, with all its refunds.
    """
    charges: dict[str, list[LedgerEntry]] = defaultdict(list)
    for entry in ledger.entries(MOVED, sortable(since) if since else ""):
        charges[entry.charge].append(entry)
    captures = [(charge.captured, charge) for charge in map(ChargeRecord, charges.keys(), charges.values())]
    return [_capture(captured, charge) for captured, charge in captures if captured]


def faults(ledger: Ledger) -> dict[str, int]:
    return {row["reason"]: row["times"] for row in ledger.select(FAULTS)}


def newest(ledger: Ledger, limit: int) -> Sequence[ChargeRecord]:
    keys = [row["charge"] for row in ledger.select(NEWEST, limit)]
    return [ChargeRecord(key, ledger.entries_of(key)) for key in keys]


def _capture(captured: LedgerEntry, charge: ChargeRecord) -> Json:
    return {
        "charge_key": charge.key,
        "reference": charge.reference,
        "order_id": charge.requested.order_id if charge.requested else "",
        "amount": captured.amount,
        "currency": captured.currency,
        "captured_at": sortable(captured.at),
        "refunds": [
            {"key": refund.entry.key, "reference": refund.entry.reference, "amount": refund.entry.amount}
            for refund in charge.refunds().values()
        ],
    }
