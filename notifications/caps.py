"""
Caps: how many notifications one recipient, and all together, get within an hour, so that a fault floods no one.

The last fifth of each cap is kept for what the contract requires. A transaction that would fill more than half of a cap
waits for others that do; the rest do not wait, and do not see each other. So a cap is exceeded only if several begin at
the same moment, all far from it, and by less than half a cap for each of them.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum

from messaging.kernel.databases import adapt, advisory_lock

from .models import Notification, QueuedInMinute
from .preferences import is_required

Kind, Reason = Notification.Kind, Notification.Reason

HOUR = timedelta(hours=1)
RESERVED_SHARE = 5
"""One part of so many is kept for what the contract requires."""
UNCAPPED = frozenset({Kind.DEAD_LETTER, Kind.CAP_REACHED, Kind.AUDIT_VIOLATION})
"""Alerts of which one an hour is sent, or one for each audit."""

ALL = ""
"""The key of all recipients together."""

RECORD = """
INSERT INTO notifications_queuedinminute (minute, began_at, number) VALUES (%s, %s, %s)
ON CONFLICT (minute) DO UPDATE SET began_at = excluded.began_at, number = excluded.number + CASE
WHEN notifications_queuedinminute.began_at = excluded.began_at THEN notifications_queuedinminute.number ELSE 0 END
"""


def exceeding(drafts: Collection[Notification], *, now: datetime) -> dict[Notification, Notification.Reason]:
    """
    Return those of these notifications that are over a cap, each with the cap as its reason.
    """
    drafts = [draft for draft in drafts if draft.kind not in UNCAPPED and any(_caps_of(draft))]
    used = _used(drafts, now)
    if _is_near(drafts, used):
        advisory_lock("notifications.caps")
        used = _used(drafts, now)
    reasons = {}
    for draft in sorted(drafts, key=_is_required, reverse=True):
        if reason := _exceeded(draft, used):
            reasons[draft] = reason
        else:
            used.update([draft.recipient, ALL])
    return reasons


def record(queued: Collection[Notification], *, now: datetime) -> None:
    """
    Count these notifications as queued. Call it last in a transaction: others that do so in this minute wait for its
    end.
    """
    number = sum(notification.kind not in UNCAPPED for notification in queued)
    if number and settings.NOTIFICATIONS.per_hour:
        began_at = now.replace(second=0, microsecond=0)
        with connection.cursor() as cursor:
            cursor.execute(RECORD, [began_at.minute, adapt(began_at), number])


def _caps_of(draft: Notification) -> Iterator[tuple[str, int, Notification.Reason]]:
    """
    Yield the caps of a notification that are set: key, number and reason of each.
    """
    caps = settings.NOTIFICATIONS
    if caps.per_recipient_per_hour:
        yield draft.recipient, caps.per_recipient_per_hour, Reason.RECIPIENT_CAP
    if caps.per_hour:
        yield ALL, caps.per_hour, Reason.TOTAL_CAP


def _used(drafts: Collection[Notification], now: datetime) -> Counter[str]:
    """
    Return the number of notifications in the last hour to each of these recipients, and to all, by two statements.
    """
    used: Counter[str] = Counter()
    if not drafts:
        return used
    if settings.NOTIFICATIONS.per_recipient_per_hour:
        recipients = {draft.recipient for draft in drafts}
        lately = Notification.objects.filter(recipient__any=recipients, created_at__gt=now - HOUR)
        # In the words of the index, so that the planner takes it.
        indexed = lately.exclude(reason=Reason.RECIPIENT_CAP).exclude(reason=Reason.TOTAL_CAP)
        sent = indexed.exclude(status=Notification.Status.SUPPRESSED).exclude(kind__in=UNCAPPED)
        used.update(dict(sent.values_list("recipient").annotate(number=Count("pk"))))
    if settings.NOTIFICATIONS.per_hour:
        minutes = QueuedInMinute.objects.filter(began_at__gt=now - HOUR)
        used[ALL] = minutes.aggregate(total=Sum("number", default=0))["total"]
    return used


def _is_near(drafts: Collection[Notification], used: Counter[str]) -> bool:
    """
    Return whether these notifications would take more than half of a cap.
    """
    caps = {key: cap for draft in drafts for key, cap, _ in _caps_of(draft)}
    wanted = used + Counter(key for draft in drafts for key in (draft.recipient, ALL))
    return any(2 * wanted[key] > cap for key, cap in caps.items())


def _exceeded(draft: Notification, used: Counter[str]) -> Notification.Reason | None:
    """
    Return the cap that leaves no room for a notification, if any.
    """
    for key, cap, reason in _caps_of(draft):
        reserved = 0 if _is_required(draft) else cap // RESERVED_SHARE
        if used[key] >= cap - reserved:
            return reason
    return None


def _is_required(draft: Notification) -> bool:
    return is_required(draft.kind, draft.channel)
