"""
The beginning and the end of an attempt to send notifications, by whichever channel.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import F

from messaging.kernel.databases import async_commit

from . import suppressions
from .lateness import late_among
from .models import Notification
from .outcomes import Outcome, Result

Status, Reason = Notification.Status, Notification.Reason


def take(ids: Collection[str], *, now: datetime) -> list[Notification]:
    """
    Mark notifications as being sent, and return them as they were before. Those that are useless by now end here, and
    so do those whose recipients are on the suppression list by now.
    """
    with async_commit():
        unsent = list(Notification.objects.filter(pk__any=ids, status__in=Notification.UNSENT).order_by("pk"))
        reasons = dict.fromkeys(suppressions.listed_among(unsent), Reason.LISTED)
        reasons |= dict.fromkeys(late_among(unsent, now=now), Reason.TOO_LATE)
        for reason in set(reasons.values()):
            _end([row.pk for row in reasons if reasons[row] == reason], reason, now)
        taken = [row for row in unsent if row not in reasons]
        rows = Notification.objects.filter(pk__any=[row.pk for row in taken], status__in=Notification.UNSENT)
        rows.update(status=Status.SENDING, attempts=F("attempts") + 1, tried_at=now)
    return taken


def settle(outcomes: dict[Notification, Outcome], *, now: datetime) -> None:
    """
    Record what became of notifications that are being sent, unless their provider has reported more by now. Recipients
    whom no other message would reach are put on the suppression list.
    """
    rows: dict[Outcome, list[UUID]] = defaultdict(list)
    for notification, outcome in outcomes.items():
        rows[outcome].append(notification.pk)
    if rows:
        with async_commit():
            for outcome, ids in rows.items():
                sending = Notification.objects.filter(pk__any=ids, status=Status.SENDING)
                if outcome.suppression:
                    rejected = sending.select_for_update().order_by("pk")
                    suppressions.add(dict.fromkeys(rejected, outcome.suppression), now=now)
                sending.update(**_changes(outcome, now))


def _end(ids: Collection[UUID], reason: str, now: datetime) -> None:
    """
    Suppress notifications that were not tried yet; the others failed. A result that is unknown stays so.
    """
    rows = Notification.objects.filter(pk__any=ids)
    rows.filter(status=Status.QUEUED).update(status=Status.SUPPRESSED, reason=reason, ended_at=now)
    rows.filter(status=Status.SENDING).update(status=Status.FAILED, reason=reason, ended_at=now)
    rows.filter(status=Status.UNKNOWN).update(reason=reason, ended_at=now)


def _changes(outcome: Outcome, now: datetime) -> dict[str, object]:
    match outcome.result:
        case Result.ACCEPTED:
            return {"status": Status.ACCEPTED, "accepted_at": now, "provider_id": outcome.provider_id, "error": ""}
        case Result.REJECTED:
            return {"status": Status.FAILED, "reason": Reason.REJECTED, "error": outcome.error, "ended_at": now}
        case Result.NO_MAILBOX:
            return {"status": Status.BOUNCED, "reason": Reason.NO_MAILBOX, "error": outcome.error, "ended_at": now}
        case Result.UNKNOWN:
            return {"status": Status.UNKNOWN, "error": outcome.error}
        case _:
            return {"error": outcome.error}
