"""The simulator's own ledger, read from its file: what really happened to the money, whatever the shop recorded."""

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
REFUNDED = "SELECT count(*), coalesce(sum(amount), 0) FROM entries WHERE kind = 'refunded'"
FAILED_CALLBACKS = "SELECT count(*) FROM entries WHERE kind = 'answered' AND reason = 'failed'"
OPEN = """
    SELECT count(*) FROM entries AS open WHERE due IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM entries AS closing WHERE closing.about = open.seq)
"""

DECLINES = {behaviour.declines_by: name for name, behaviour in BEHAVIOURS.items() if behaviour.declines_by}


@dataclass(frozen=True)
class CapturedMoney:
    """One capture, and how much of it was refunded, in minor units."""

    order_id: str
    charge: str
    reference: str
    amount: int
    currency: str
    refunded: int

    @property
    def kept(self) -> int:
        return self.amount - self.refunded


@dataclass(frozen=True)
class SimulatorLedger:
    path: Path

    def is_idle(self) -> bool:
        """Return whether no movement of money and no callback is outstanding."""
        return not self._number(OPEN)

    def captures(self) -> dict[str, list[CapturedMoney]]:
        """Return every capture, by order id."""
        captures: dict[str, list[CapturedMoney]] = defaultdict(list)
        for row in self._rows(CAPTURES):
            money = CapturedMoney(*row)
            captures[money.order_id].append(money)
        return captures

    def first_ends(self) -> dict[str, set[str]]:
        """Return by order id how its charges ended first: captured, declined or cancelled."""
        ends: dict[str, set[str]] = defaultdict(set)
        for order_id, kind in self._rows(FIRST_ENDS):
            ends[order_id].add(kind)
        return ends

    def faults(self) -> Counter[str]:
        """Return how often each fault took effect, and each way to decline."""
        return Counter({DECLINES.get(reason, reason): times for reason, times in self._rows(FAULTS)})

    def faulted(self) -> dict[str, str]:
        """Return the fault of each charge that met one, by the charge's key."""
        return dict(self._rows(FAULTED))

    def refunded(self) -> tuple[int, int]:
        """Return the number of refunds and their sum, in minor units."""
        [(times, amount)] = self._rows(REFUNDED)
        return times, amount

    def failed_callbacks(self) -> int:
        """Return how many callbacks the shop did not acknowledge."""
        return self._number(FAILED_CALLBACKS)

    def _number(self, query: str) -> int:
        [(number,)] = self._rows(query)
        return number

    def _rows(self, query: str) -> Sequence[Sequence[Any]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=20)) as connection:
            return connection.execute(query).fetchall()
