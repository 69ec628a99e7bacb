"""
What the ledger tells as a whole: the statement of all captures, totals, and which faults took effect.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from .charges import Charge, Json
from .entries import written
from .ledger import Ledger

AT_A_TIME = 500

CAPTURES = """
SELECT captured.*, charged.reference AS charge_reference, charged.order_id AS charge_order_id
FROM entries AS captured JOIN entries AS charged ON charged.charge = captured.charge AND charged.kind = 'charged'
WHERE captured.kind = 'captured' AND captured.seq > :after AND captured.seq <= :latest AND (
    captured.at >= :since OR EXISTS (
        SELECT 1 FROM entries AS refund
        WHERE refund.charge = captured.charge AND refund.kind = 'refunded' AND refund.at >= :since
    )
)
ORDER BY captured.seq LIMIT :limit
"""
REFUNDS = """
SELECT charge, key, reference, amount FROM entries
WHERE kind = 'refunded' AND seq <= ? AND charge IN (SELECT value FROM json_each(?)) ORDER BY seq
"""
TOTALS = """
SELECT currency, sum(amount) FILTER (WHERE kind = 'captured') AS captured,
    sum(amount) FILTER (WHERE kind = 'refunded') AS refunded
FROM entries WHERE kind IN ('captured', 'refunded') GROUP BY currency ORDER BY currency
"""
FAULTS = "SELECT reason, count(*) AS times FROM entries WHERE kind = 'faulted' GROUP BY reason ORDER BY reason"
NEWEST = "SELECT charge FROM entries WHERE kind = 'charged' ORDER BY seq DESC LIMIT ?"


@dataclass(frozen=True)
class Total:
    currency: str
    captured: int
    refunded: int


@dataclass(frozen=True)
class Reports:
    ledger: Ledger

    def statement(self, since: datetime | None = None) -> Iterator[bytes]:
        """
        Write the statement piece by piece: every capture made or refunded since then, as of the first piece.
        """
        with self.ledger.turn():
            now = self.ledger.clock()
            [(latest,)] = self.ledger.select("SELECT coalesce(max(seq), 0) FROM entries")
        yield b'{"captures": ['
        separator = b""
        for captures in self._pages(written(since) if since else "", latest):
            yield separator + ", ".join(map(json.dumps, captures)).encode()
            separator = b", "
        yield f'], "now": {json.dumps(written(now))}}}'.encode()

    def faults(self) -> dict[str, int]:
        return {row["reason"]: row["times"] for row in self.ledger.select(FAULTS)}

    def totals(self) -> list[Total]:
        rows = self.ledger.select(TOTALS)
        return [Total(row["currency"], row["captured"] or 0, row["refunded"] or 0) for row in rows]

    def newest(self, limit: int) -> list[Charge]:
        keys = [row["charge"] for row in self.ledger.select(NEWEST, [limit])]
        return [Charge(key, tuple(self.ledger.entries_of(key))) for key in keys]

    def _pages(self, since: str, latest: int) -> Iterator[list[Json]]:
        after = 0
        asked = {"since": since, "latest": latest, "limit": AT_A_TIME}
        while rows := self.ledger.select(CAPTURES, asked | {"after": after}):
            after = rows[-1]["seq"]
            refunds = self._refunds([row["charge"] for row in rows], latest)
            yield [_capture(row, refunds) for row in rows]

    def _refunds(self, charges: list[str], latest: int) -> dict[str, list[Json]]:
        found: dict[str, list[Json]] = {}
        for row in self.ledger.select(REFUNDS, [latest, json.dumps(charges)]):
            refund = dict(row)
            found.setdefault(refund.pop("charge"), []).append(refund)
        return found


def _capture(row: sqlite3.Row, refunds: dict[str, list[Json]]) -> Json:
    return {
        "charge_key": row["charge"],
        "reference": row["charge_reference"],
        "order_id": row["charge_order_id"],
        "amount": row["amount"],
        "currency": row["currency"],
        "captured_at": row["at"],
        "refunds": refunds.get(row["charge"], []),
    }
