"""
Running the checks over one consistent state of the database, and what they say.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain

from django.db import connection

from . import messages, money, notifications, orders, stock
from .checks import Check

EXAMPLES = 5


def _place(check: Check) -> tuple[int, int]:
    return "SOMN".index(check.id[0]), int(check.id[1:])


CHECKS = sorted(
    chain(stock.CHECKS, orders.CHECKS, money.CHECKS, messages.CHECKS, notifications.CHECKS),
    key=_place,
)

BEGIN = {"sqlite": "BEGIN DEFERRED", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}


class Verdict(StrEnum):
    OK = "ok"
    VIOLATION = "violation"
    UNKNOWN = "unknown"
    """There was nothing to look at, so nothing is proven."""

    @property
    def exit_status(self) -> int:
        return [Verdict.OK, Verdict.VIOLATION, Verdict.UNKNOWN].index(self)


@dataclass(frozen=True, kw_only=True)
class Result:
    id: str
    rule: str
    verdict: Verdict
    evaluated: int
    violations: int
    examples: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Report:
    results: Sequence[Result]

    @property
    def verdict(self) -> Verdict:
        """
        Say the worst that any check says; a violation is worse than not knowing.
        """
        verdicts = {result.verdict for result in self.results}
        return next(worst for worst in (Verdict.VIOLATION, Verdict.UNKNOWN, Verdict.OK) if worst in verdicts)

    @property
    def violated(self) -> list[str]:
        return [result.id for result in self.results if result.verdict is Verdict.VIOLATION]

    def as_dict(self) -> dict[str, object]:
        return {"verdict": self.verdict, "checks": [asdict(result) for result in self.results]}


def run(*, now: datetime) -> Report:
    """
    Examine every check on one consistent state of the database, without changing anything or holding up a writer. The
    gateway's books, if it keeps any, are read first.
    """
    checks = sorted([*CHECKS, *money.checks_of_the_gateway(now)], key=_place)
    with snapshot():
        return Report(results=[_examine(check, now) for check in checks])


@contextmanager
def snapshot() -> Iterator[None]:
    """
    Read one and the same committed state inside the block; inside a transaction of the caller, what that one sees.

    `transaction.atomic` would take SQLite's write lock, as settings have every transaction begin IMMEDIATE.
    """
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(BEGIN[connection.vendor])
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def _examine(check: Check, now: datetime) -> Result:
    evaluated, violating = check.examine(now)
    violations, examples = 0, []
    for found in violating:
        violations += 1
        if violations <= EXAMPLES:
            examples.append(str(found))
    verdict = Verdict.VIOLATION if violations else Verdict.OK if evaluated else Verdict.UNKNOWN
    return Result(
        id=check.id,
        rule=check.rule,
        verdict=verdict,
        evaluated=evaluated,
        violations=violations,
        examples=examples,
    )
