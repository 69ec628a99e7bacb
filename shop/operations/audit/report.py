"""
Run all checks on one consistent state of the database.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain

from shop.operations.databases import all_aliases, snapshot

from . import messages, money, notifications, orders, stock
from .checks import Check
from .copy import consistent_copy

EXAMPLES = 5


def _rank(check: Check) -> tuple[int, int]:
    return "SOMN".index(check.id[0]), int(check.id[1:])


CHECKS = sorted(
    chain(stock.CHECKS, orders.CHECKS, money.CHECKS, messages.CHECKS, notifications.CHECKS),
    key=_rank,
)


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
    The outcome of one check: how many rows it examined, and how many violate the rule, with a few examples.
    """

    id: str
    rule: str
    verdict: Verdict
    evaluated: int
    violations: int
    examples: Sequence[str]
    reason: str
    """Why the verdict is unknown; empty for the others."""


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    results: Sequence[CheckResult]

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
        return {"verdict": self.verdict, "checks": [asdict(result) for result in self.results]}


def run(*, now: datetime) -> AuditReport:
    """
    Run every check on one consistent state of the database, or of those of all services, without blocking writers. The
    gateway's statement is read first.

    :raises NoConsistentState: if events passed between the databases each time that they were read.
    """
    checks = sorted([*CHECKS, *money.checks_of_the_gateway(now)], key=_rank)
    with consistent_copy(now) if len(all_aliases()) > 1 else snapshot():
        return AuditReport(results=[_examine(check, now) for check in checks])


def _examine(check: Check, now: datetime) -> CheckResult:
    evaluated, violating, unknown_because = check.examine(now)
    violations, examples = 0, []
    for violation in violating:
        violations += 1
        if violations <= EXAMPLES:
            examples.append(str(violation))
    verdict = Verdict.VIOLATION if violations else Verdict.OK if evaluated else Verdict.UNKNOWN
    return CheckResult(
        id=check.id,
        rule=check.rule,
        verdict=verdict,
        evaluated=evaluated,
        violations=violations,
        examples=examples,
        reason=unknown_because if verdict is Verdict.UNKNOWN else "",
    )
