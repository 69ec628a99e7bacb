"""
Alerts of dead letters and of caps: one mail an hour for each subscriber and error, and for the caps, however many
deliveries die or notifications are held back. Alerts of audits: one for each that finds something new.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Q
from django.template.loader import render_to_string

from messaging.contracts import DeliveryDied, EmailQueued
from messaging.kernel.databases import advisory_lock
from messaging.kernel.ids import new_id

from .models import Notification

SILENCE = timedelta(hours=1)
COUNTED = timedelta(days=1)
CAPS = "notifications.caps"
"""The topic of alerts of caps."""


class ViolatedRule(NamedTuple):
    """
    A rule of the audit, and what violates it since now.
    """

    id: str
    rule: str
    number: int
    examples: Sequence[str]


def topic_of(event: DeliveryDied) -> str:
    """
    Return what the alerts have in common of which one an hour is sent.
    """
    return f"{event.subscriber} {event.fingerprint}"


def due(events: Mapping[UUID, DeliveryDied], *, now: datetime) -> dict[UUID, int]:
    """
    Return the events to send a mail about, each with the number of dead letters of its topic in the last 24 hours: the
    first of each topic of which no mail was queued in the last hour. Transactions that decide wait for one another.

    :param events: by message id.
    """
    advisory_lock("notifications.alerts")
    events = _without_alerts(events)
    topics = Counter(topic_of(event) for event in events.values())
    earlier = Notification.objects.filter(topic__in=topics, created_at__gt=now - COUNTED).exclude(message_id__in=events)
    sent = Max("created_at", filter=~Q(status=Notification.Status.SUPPRESSED))
    rows = earlier.values("topic").annotate(number=Count("pk"), sent_at=sent).values_list("topic", "number", "sent_at")
    known = {topic: (number, sent_at) for topic, number, sent_at in rows}
    mails: dict[UUID, int] = {}
    for message_id, event in events.items():
        topic = topic_of(event)
        number, sent_at = known.get(topic, (0, None))
        if topic in topics and not (sent_at and sent_at > now - SILENCE):
            mails[message_id] = number + topics.pop(topic)
    return mails


def about_caps(held_back: Collection[Notification], *, now: datetime) -> list[Notification]:
    """
    Return the alert to send, if any, when caps hold these notifications back: one an hour. Transactions that decide
    wait for one another, in `caps`.
    """
    if not (held_back and settings.SHOP.operator_email):
        return []
    if Notification.objects.filter(topic=CAPS, created_at__gt=now - SILENCE).exists():
        return []
    reasons = sorted({str(draft.reason) for draft in held_back})
    kind = Notification.Kind.CAP_REACHED
    return [_alert(kind, now, topic=CAPS, reasons=reasons, number=len(held_back), caps=settings.NOTIFICATIONS)]


def about_violations(rules: Sequence[ViolatedRule], *, now: datetime) -> list[Notification]:
    """
    Return the alert to send, if any, when an audit found that these rules are violated.
    """
    if not settings.SHOP.operator_email:
        return []
    number = sum(rule.number for rule in rules)
    return [_alert(Notification.Kind.AUDIT_VIOLATION, now, rules=rules, number=number)]


def _alert(kind: Notification.Kind, now: datetime, *, topic: str = "", **context: object) -> Notification:
    """
    Return an alert that no event causes.
    """
    id_ = new_id()
    subject, body = text(kind.value, **context)
    return Notification(
        id=id_,
        message_id=id_,
        kind=kind.value,
        topic=topic,
        channel=Notification.Channel.EMAIL.value,
        recipient=settings.SHOP.operator_email,
        status=Notification.Status.QUEUED.value,
        subject=subject,
        body=body,
        created_at=now,
        useful_until=now + COUNTED,
    )


def text(kind: str, **context: object) -> tuple[str, str]:
    """
    Return the subject and the text of an alert, from the template of its kind.
    """
    context |= {"shop": settings.SHOP.name, "shop_url": settings.SHOP.url}
    subject, _, body = render_to_string(f"notifications/{kind}.txt", context).partition("\n")
    return subject, body.strip() + "\n"


def _without_alerts(events: Mapping[UUID, DeliveryDied]) -> dict[UUID, DeliveryDied]:
    """
    Return the events that are not about an alert that could not be sent: such alerts would never end.
    """
    sent = [event.message_key for event in events.values() if event.event_type == EmailQueued.type]
    of_alerts = Notification.objects.filter(pk__in=sent, kind=Notification.Kind.DEAD_LETTER) if sent else []
    keys = {str(alert.pk) for alert in of_alerts}
    return {message_id: event for message_id, event in events.items() if event.message_key not in keys}
