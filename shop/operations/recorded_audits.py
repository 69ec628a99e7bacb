"""
Audits whose result is stored: the scheduled one of every day, and those that an operator has recorded after a repair.

What violates a rule is a row until an audit no longer finds it. The operator gets one mail about what an audit finds
for the first time.
"""

import logging
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from messaging.kernel.process_locks import only_one
from notifications import services as notifications
from notifications.alerts import ViolatedRule

from . import audit
from .models import AuditRun, AuditViolation

logger = logging.getLogger(__name__)

LOCK = "audit"
STORED_CHARACTERS = 300

Violation = tuple[str, str]
"""The id of a check, and what violates it."""


class AlreadyRunning(Exception):
    """
    Another process records an audit.
    """


def audit_daily() -> None:
    """
    Record an audit if none has run since AUDIT_HOUR. The cluster calls it every hour, so that a day on which the
    cluster did not run at that hour has its audit, too.
    """
    now = timezone.now()
    if AuditRun.objects.filter(started_at__gte=last_due(now)).exists():
        return
    try:
        record(now=now, seconds=settings.MONITORING.audit_limit_seconds, with_statement=False)
    except AlreadyRunning:
        logger.info("The audit is running already.")


def last_due(now: datetime) -> datetime:
    """
    Return the last moment at which the hour of the audit began, in UTC.
    """
    today = now.astimezone(UTC).replace(hour=settings.MONITORING.audit_hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def record(*, now: datetime, seconds: float | None = None, with_statement: bool = True) -> audit.AuditReport:
    """
    Run the audit and store its result; alert the operator of violations that the last audit did not find.

    :param seconds: the time that it may take; see `audit.run`.
    :raises AlreadyRunning: if another process does so.
    :raises NoConsistentState: see `audit.run`.
    """
    try:
        with only_one(LOCK):
            begun = time.monotonic()
            report = audit.run(now=now, seconds=seconds, with_statement=with_statement)
            _store(report, now=now, seconds=time.monotonic() - begun)
    except BlockingIOError as error:
        raise AlreadyRunning("Another process is recording an audit.") from error
    logger.log(
        logging.ERROR if report.violated else logging.INFO,
        "Audit: %s%s.",
        report.verdict,
        f" of {', '.join(report.violated)}" if report.violated else "",
    )
    return report


@transaction.atomic
def _store(report: audit.AuditReport, *, now: datetime, seconds: float) -> None:
    AuditRun.objects.filter(started_at__lt=now - timedelta(days=settings.MESSAGING.retention_days)).delete()
    AuditRun.objects.create(
        started_at=now,
        seconds=round(seconds, 3),
        verdict=report.verdict.value,
        last_message=report.last_message,
        report=report.as_dict(),
    )
    new = _replace_violations(report, now)
    if new:
        rules = {result.id: result.rule for result in report.results}
        notifications.alert_of_violations(_by_rule(new, rules), now=now)


def _replace_violations(report: audit.AuditReport, now: datetime) -> Collection[Violation]:
    """
    Store what this audit has found in place of what earlier ones have, and return what is new. What a check did not
    examine stays as it was.
    """
    examined = [result for result in report.results if result.verdict is not audit.Verdict.UNKNOWN]
    found = {(result.id, subject[:STORED_CHARACTERS]) for result in examined for subject in result.found}
    stored = AuditViolation.objects.filter(rule__in=[result.id for result in examined])
    known = {(violation.rule, violation.subject): violation.pk for violation in stored}
    AuditViolation.objects.filter(pk__any=[pk for violation, pk in known.items() if violation not in found]).delete()
    new = sorted(found - known.keys())
    AuditViolation.objects.bulk_create(
        AuditViolation(rule=rule, subject=subject, found_at=now) for rule, subject in new
    )
    return new


def _by_rule(violations: Collection[Violation], rules: Mapping[str, str]) -> list[ViolatedRule]:
    """
    Return the rules that these violate, each with the number of them and some examples.
    """
    subjects: dict[str, list[str]] = {}
    for rule, subject in violations:
        subjects.setdefault(rule, []).append(subject)
    return [
        ViolatedRule(id=id_, rule=rules[id_], number=len(of_it), examples=of_it[:5]) for id_, of_it in subjects.items()
    ]
