"""
What providers report of notifications that they accepted: it settles their states, and lists recipients.

Reports may be repeated, arrive in any order, and before the answer to the call that sent the notification.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from . import suppressions
from .models import Notification
from .outcomes import redacted

Status = Notification.Status

PROGRESS = (Status.ACCEPTED, Status.DELIVERED, Status.BOUNCED)
"""What can be reported, the furthest last."""
DETAILS = ("reason", "error", "provider_id", "accepted_at")
BATCH_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class Report:
    notification_id: UUID | None = None
    """None if the provider does not return our id: then the provider's id finds the notification."""
    provider_id: str = ""
    status: str = ""
    """Of `PROGRESS`; empty if it says nothing of the state."""
    reason: str = ""
    """Why it bounced, of `Notification.Reason`."""
    error: str = ""
    suppression: str = ""
    """Why nothing more is to be sent to the recipient, of `Suppression.Reason`."""


@transaction.atomic
def apply(reports: Collection[Report], *, now: datetime) -> None:
    """
    Move the states of the notifications that these reports are about, never back, and list the recipients who are to
    get nothing more. Reports about other notifications are ignored.
    """
    by_notification = _match(reports)
    furthest = {row: max(about, key=_progress) for row, about in by_notification.items()}
    _move({row: report for row, report in furthest.items() if _is_news(row, report)}, now)
    reasons = {row: report.suppression for row, about in by_notification.items() for report in about}
    suppressions.add({row: reason for row, reason in reasons.items() if reason}, now=now)


def _match(reports: Collection[Report]) -> Mapping[Notification, list[Report]]:
    """
    Lock the notifications that these reports are about, and return them, each with its reports.
    """
    ids = [report.notification_id for report in reports if report.notification_id]
    provider_ids = [report.provider_id for report in reports if report.provider_id and not report.notification_id]
    # The index of the provider's ids has none that is empty, which the planner is to know.
    is_about = Q(pk__any=ids) | (~Q(provider_id="") & Q(provider_id__any=provider_ids))
    rows = list(Notification.objects.filter(is_about).select_for_update().order_by("pk"))
    by_id, by_provider_id = {row.pk: row for row in rows}, {row.provider_id: row for row in rows}
    matches = defaultdict(list)
    for report in reports:
        row = by_id.get(report.notification_id) if report.notification_id else by_provider_id.get(report.provider_id)
        if row:
            matches[row].append(report)
    return matches


def _progress(report: Report) -> int:
    return PROGRESS.index(Status(report.status)) if report.status else -1


def _is_news(row: Notification, report: Report) -> bool:
    """
    Return whether a report moves a notification: its state may become the reported one, and the report is not about an
    earlier attempt, before an operator had it sent again.
    """
    if report.status not in row.TRANSITIONS[row.status]:
        return False
    was_repeated = row.attempts > 1 and bool(row.provider_id and report.provider_id)
    # While it is being sent again, the row has the provider's id of the earlier attempt.
    return not was_repeated or (row.provider_id == report.provider_id) is not (row.status in row.UNSENT)


def _move(reports: Mapping[Notification, Report], now: datetime) -> None:
    for row, report in reports.items():
        # An error may have the recipient's name, which is not recognised if the recipient was erased.
        row.error = redacted(report.error, row.recipient) if row.recipient else ""
        row.reason = report.reason
        row.provider_id, row.accepted_at = report.provider_id or row.provider_id, row.accepted_at or now
    Notification.objects.bulk_update(reports, DETAILS, batch_size=BATCH_ROWS)
    for status in PROGRESS:
        rows = [row for row, report in reports.items() if report.status == status]
        if rows:
            Notification.move_to(status, rows, **({} if status == Status.ACCEPTED else {"ended_at": now}))
