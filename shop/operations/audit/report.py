"""
Run all checks on one consistent state of the database.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from heapq import nsmallest
from itertools import chain
from uuid import UUID

from messaging.models import OutboxMessage
from shop.operations.databases import TimeIsUp, all_aliases, ending_at, snapshot

from . import messages, money, notifications, orders, stock
from .checks import Check, Finding
from .copy import consistent_copy

EXAMPLES = 5
MOST_FOUND = 1_000
"""How many violations of a check a result names; it counts all."""
OUT_OF_TIME = "the time of the audit was over before it had examined all rows"


def _rank(check: Check) -> tuple[int, int]:
    return "SOMN".index(check.id[0]), int(check.id[1:])


CHECKS = sorted(
    chain(stock.CHECKS, orders.CHECKS, money.CHECKS, messages.CHECKS, notifications.CHECKS),
    key=_rank,
)
RULES = {check.id: check.rule for check in CHECKS} | {money.STATEMENT: money.STATEMENT_RULE}
SUBJECTS = {check.id: check.about for check in CHECKS if check.about}
"""The model whose list in the admin finds a violation by its first word, by check."""


class Verdict(StrEnum):
    OK = "ok"
    VIOLATION = "violation"
    UNKNOWN = "unknown"
    """The check examined nothing; its result gives the reason."""

    @property
    def exit_status(self) -> int:
        return [Verdict.OK, Verdict.VIOLATION, Verdict.UNKNOWN].index(self)


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """
    The outcome of one check: how many rows it examined, and how many violate the rule.
    """

    id: str
    rule: str
    verdict: Verdict
    evaluated: int
    violations: int
    found: Sequence[str]
    """What violates the rule, sorted, `MOST_FOUND` at most."""
    reason: str
    """Why the verdict is unknown; empty for the others."""

    @property
    def examples(self) -> Sequence[str]:
        return self.found[:EXAMPLES]

    def as_dict(self) -> dict[str, object]:
        names = ("id", "rule", "verdict", "evaluated", "violations", "examples", "reason")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    results: Sequence[CheckResult]
    last_message: UUID | None
    """The newest message in the state that was examined; none without messages."""

    @property
    def verdict(self) -> Verdict:
        """
        Return the worst verdict of any check; a violation is worse than unknown.
        """
        verdicts = {result.verdict for result in self.results}
        return next(worst for worst in (Verdict.VIOLATION, Verdict.UNKNOWN, Verdict.OK) if worst in verdicts)

    @property
    def violated(self) -> list[str]:
        """
        Return the ids of violated checks.
        """
        return [result.id for result in self.results if result.verdict is Verdict.VIOLATION]

    def as_dict(self) -> dict[str, object]:
        return {"verdict": self.verdict, "checks": [result.as_dict() for result in self.results]}


def run(*, now: datetime, seconds: float | None = None, with_statement: bool = True) -> AuditReport:
    """
    Run every check on one consistent state of the database, or of those of all services, without blocking writers. The
    gateway's statement is read first.

    :param seconds: stop after this time, on a single database: checks that have not ended are unknown. Each may take
        half of the time that is left, so that a slow one leaves some to the others. None: no limit.
    :param with_statement: compare with the gateway's statement.
    :raises NoConsistentState: if events passed between the databases each time that they were read.
    """
    deadline = time.monotonic() + seconds if seconds else None
    of_the_gateway = money.checks_of_the_gateway(now) if with_statement else []
    checks = sorted([*CHECKS, *of_the_gateway], key=_rank)
    with consistent_copy(now) if len(all_aliases()) > 1 else snapshot():
        last_message = OutboxMessage.objects.order_by("-pk").values_list("pk", flat=True).first()
        results = [_examine_in_time(check, now, deadline) for check in checks]
    return AuditReport(results=results, last_message=last_message)


def _examine_in_time(check: Check, now: datetime, deadline: float | None) -> CheckResult:
    if deadline is None:
        return _examine(check, now)
    try:
        with ending_at(deadline - max(0.0, deadline - time.monotonic()) / 2):
            return _examine(check, now)
    except TimeIsUp:
        return _examine(check._replace(examine=lambda _: Finding(0, [], OUT_OF_TIME)), now)


def _examine(check: Check, now: datetime) -> CheckResult:
    evaluated, violating, unknown_because = check.examine(now)
    violations = _Counted(violating)
    found = nsmallest(MOST_FOUND, map(str, violations))
    verdict = Verdict.VIOLATION if violations.number else Verdict.OK if evaluated else Verdict.UNKNOWN
    return CheckResult(
        id=check.id,
        rule=check.rule,
        verdict=verdict,
        evaluated=evaluated,
        violations=violations.number,
        found=found,
        reason=unknown_because if verdict is Verdict.UNKNOWN else "",
    )


class _Counted:
    """
    Values that are counted while they are read.
    """

    def __init__(self, values: Iterable[object]) -> None:
        self._values = values
        self.number = 0

    def __iter__(self) -> Iterator[object]:
        for value in self._values:
            self.number += 1
            yield value
