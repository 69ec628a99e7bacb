"""
The simulator's own ledger, read from its file: what really happened to the money, whatever our books say.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payments.simulator.behaviours import BEHAVIOURS

CAPTURES = """
    SELECT charged.order_id, captured.charge, charged.reference, captured.amount, captured.currency, coalesce((
        SELECT sum(amount) FROM entries AS refund WHERE refund.charge = captured.charge AND refund.kind = 'refunded'
    ), 0)
    FROM entries AS captured JOIN entries AS charged ON charged.charge = captured.charge AND charged.kind = 'charged'
    WHERE captured.kind = 'captured' ORDER BY captured.seq
"""
FIRST_ENDS = """
    SELECT charged.order_id, ended.kind FROM entries AS charged JOIN entries AS ended ON ended.charge = charged.charge
    WHERE charged.kind = 'charged' AND ended.seq = (
        SELECT min(seq) FROM entries AS any_end
        WHERE any_end.charge = charged.charge AND any_end.kind IN ('captured', 'declined', 'cancelled')
    )
"""
FAULTS = "SELECT reason, count(*) FROM entries WHERE kind IN ('faulted', 'declined') GROUP BY reason"
FAULTED = "SELECT charge, reason FROM entries WHERE kind = 'faulted'"
REPAID = "SELECT count(*), coalesce(sum(amount), 0) FROM entries WHERE kind = 'refunded'"
FAILED_CALLS = "SELECT count(*) FROM entries WHERE kind = 'answered' AND reason = 'failed'"
OPEN = """
    SELECT count(*) FROM entries AS open WHERE due IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM entries AS closing WHERE closing.about = open.seq)
"""

DECLINES = {behaviour.declines_by: name for name, behaviour in BEHAVIOURS.items() if behaviour.declines_by}


@dataclass(frozen=True)
class Money:
    """
    One movement of money to the shop, and what of it went back, in minor units.
    """

    order_id: str
    charge: str
    reference: str
    amount: int
    currency: str
    returned: int

    @property
    def left(self) -> int:
        return self.amount - self.returned


@dataclass(frozen=True)
class Ledger:
    path: Path

    def is_idle(self) -> bool:
        """
        Tell whether nothing is left to happen: no money to move, nobody to call back.
        """
        return not self._number(OPEN)

    def captures(self) -> dict[str, list[Money]]:
        """
        List all money that came, by order id.
        """
        found: dict[str, list[Money]] = defaultdict(list)
        for row in self._rows(CAPTURES):
            money = Money(*row)
            found[money.order_id].append(money)
        return found

    def first_ends(self) -> dict[str, set[str]]:
        """
        Tell by order id what became of its charges: captured, declined or cancelled, whichever was first.
        """
        found: dict[str, set[str]] = defaultdict(set)
        for order_id, kind in self._rows(FIRST_ENDS):
            found[order_id].add(kind)
        return found

    def faults(self) -> Counter[str]:
        """
        Count how often each fault took effect, and each way to decline.
        """
        return Counter({DECLINES.get(reason, reason): times for reason, times in self._rows(FAULTS)})

    def faulted(self) -> dict[str, str]:
        """
        Name by its key what went wrong with a charge.
        """
        return dict(self._rows(FAULTED))

    def repaid(self) -> tuple[int, int]:
        """
        Count the refunds and what they gave back, in minor units.
        """
        [(times, amount)] = self._rows(REPAID)
        return times, amount

    def failed_calls(self) -> int:
        """
        Count how often the shop could not be called back.
        """
        return self._number(FAILED_CALLS)

    def _number(self, query: str) -> int:
        [(number,)] = self._rows(query)
        return number

    def _rows(self, query: str) -> Sequence[Sequence[Any]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20)) as connection:
            return connection.execute(query).fetchall()
