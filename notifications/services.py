"""
Queueing of notifications: one for each event, channel and recipient, stored with the message that has it sent.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction

from messaging.contracts import (
    DeliveryDied,
    EmailQueued,
    PaymentAnomalyFound,
    PaymentDueSoon,
    SignUpRequested,
    SmsQueued,
)
from messaging.kernel.databases import insert_new
from messaging.outbox import caused_by, publish_all

from . import alerts, caps, channels, suppressions
from .alerts import ViolatedRule
from .facts import AccountEvent, CustomerEvent, LinkEvent, facts_of, kind_of
from .lateness import late_among
from .models import Notification
from .preferences import SmsRequest, sms_requests
from .rendering import render_email, render_sms

ForOperator = PaymentAnomalyFound | DeliveryDied
Notifiable = CustomerEvent | ForOperator

Kind, Channel, Status, Reason = Notification.Kind, Notification.Channel, Notification.Status, Notification.Reason

USEFUL_FOR = timedelta(hours=72)
"""How long a notification is worth sending, other than a reminder: that is until the payment is due."""

NEVER_SENT = frozenset({Reason.NO_ADDRESS, Reason.TOO_LATE, Reason.REPEATED})
"""What is suppressed for these reasons needs no text: an operator cannot have it sent either."""


class Recipient(NamedTuple):
    email: str
    phone: str = ""
    customer_id: str = ""
    language: str = ""


class Resent(NamedTuple):
    queued: list[Notification]
    listed: list[Notification]
    """Left as they were: their recipients are on the suppression list."""


@transaction.atomic
def queue(events: Mapping[UUID, Notifiable], *, now: datetime) -> None:
    """
    Store the notifications of these events, and publish that they are to be sent. Those that an earlier release stored
    and did not send are sent, too.

    :param events: by message id.
    """
    recipients = {message_id: _recipient_of(event) for message_id, event in events.items()}
    requests = sms_requests({recipient.customer_id for recipient in recipients.values() if recipient.phone})
    drafts = [
        draft
        for message_id, recipient in recipients.items()
        for draft in _drafts(message_id, events[message_id], recipient, requests, now)
    ]
    dead_letters, held_back = _suppress(drafts, events, now)
    for draft in drafts:
        if draft.reason not in NEVER_SENT:
            _render(draft, events[draft.message_id], dead_letters)
    drafts += alerts.about_caps(held_back, now=now)
    new = insert_new(drafts)
    queued = [draft for draft in drafts if draft.pk in new and draft.status == Status.QUEUED]
    if len(new) < len(drafts):
        queued += Notification.objects.filter(message_id__any=events, status=Status.SENDING)
    _publish(queued, {draft.pk: events[draft.message_id].key for draft in queued if draft.message_id in events})
    caps.record(queued, now=now)


@transaction.atomic
def alert_of_violations(rules: Sequence[ViolatedRule], *, now: datetime) -> None:
    """
    Queue a mail to the operator about rules that an audit found violated.
    """
    drafts = alerts.about_violations(rules, now=now)
    if drafts:
        insert_new(drafts)
        _publish(drafts, {})
        caps.record(drafts, now=now)


@transaction.atomic
def resend(ids: Iterable[UUID], *, repeats: bool, now: datetime) -> Resent:
    """
    Queue notifications again that were not accepted, unless their recipients are on the suppression list. Each is sent
    with the same text and Message-ID.

    :param repeats: also those that were accepted, which their recipients get again.
    """
    resendable = {Status.FAILED, Status.SUPPRESSED, Status.UNKNOWN, Status.BOUNCED}
    statuses = resendable | Notification.SENT if repeats else resendable
    rows = Notification.objects.filter(pk__any=ids, status__in=statuses).exclude(recipient="").exclude(body="")
    resendable_rows = list(rows.select_for_update().order_by("pk"))
    listed = suppressions.listed_among(resendable_rows)
    chosen = [row for row in resendable_rows if row not in listed]
    again = {"reason": "", "error": "", "ended_at": None, "useful_until": now + USEFUL_FOR}
    Notification.move_to(Status.QUEUED, chosen, **again)
    _publish(chosen, {})
    return Resent(chosen, listed)


def _drafts(
    message_id: UUID, event: Notifiable, recipient: Recipient, requests: Collection[SmsRequest], now: datetime
) -> Iterator[Notification]:
    """
    Yield the notifications about an event, without their texts.
    """
    kind = _kind_of(event)
    requested = (recipient.customer_id, kind.value) in requests
    order_id, number = ("", "") if isinstance(event, AccountEvent) else (event.order_id, event.number)
    link_id = event.request_id if isinstance(event, LinkEvent) else ""
    for channel in channels.channels_of(kind, phone=recipient.phone, sms_requested=requested):
        yield Notification(
            message_id=message_id,
            order_id=UUID(order_id) if order_id else None,
            number=number,
            customer_id=recipient.customer_id,
            kind=kind.value,
            link_id=UUID(link_id) if link_id else None,
            topic=alerts.topic_of(event) if isinstance(event, DeliveryDied) else "",
            channel=channel,
            recipient=recipient.email if channel == Channel.EMAIL else recipient.phone,
            language=recipient.language,
            status=Status.QUEUED.value,
            created_at=now,
            useful_until=_useful_until(event, now),
        )


def _kind_of(event: Notifiable) -> Notification.Kind:
    match event:
        case PaymentAnomalyFound():
            return Kind.PAYMENT_ANOMALY
        case DeliveryDied():
            return Kind.DEAD_LETTER
        case _:
            return Kind(kind_of(event))


def _recipient_of(event: Notifiable) -> Recipient:
    if isinstance(event, ForOperator):
        return Recipient(email=settings.SHOP.operator_email)
    if isinstance(event, AccountEvent):
        customer_id = "" if isinstance(event, SignUpRequested) else event.customer_id
        return Recipient(event.email, customer_id=customer_id, language=event.language)
    return Recipient(event.email, event.phone, event.customer_id, event.language)


def _useful_until(event: Notifiable, now: datetime) -> datetime:
    if isinstance(event, PaymentDueSoon) and event.due_at:
        return datetime.fromisoformat(event.due_at)
    if isinstance(event, LinkEvent):
        return datetime.fromisoformat(event.expires_at)
    return now + USEFUL_FOR


def _suppress(
    drafts: Sequence[Notification], events: Mapping[UUID, Notifiable], now: datetime
) -> tuple[Mapping[UUID, int], Collection[Notification]]:
    """
    Suppress the notifications that need not or must not be sent. Return the number of dead letters that each remaining
    alert is about, by message id, and the notifications that a cap holds back.
    """
    deaths = {message_id: event for message_id, event in events.items() if isinstance(event, DeliveryDied)}
    dead_letters = alerts.due(deaths, now=now) if deaths else {}
    repeated = [draft for draft in drafts if draft.message_id in deaths and draft.message_id not in dead_letters]
    reasons = dict.fromkeys(late_among(drafts, now=now), Reason.TOO_LATE) | dict.fromkeys(repeated, Reason.REPEATED)
    reasons |= dict(channels.withheld([draft for draft in drafts if draft not in reasons], now=now))
    held_back = caps.exceeding([draft for draft in drafts if draft not in reasons], now=now)
    for draft, reason in (reasons | held_back).items():
        draft.status, draft.reason, draft.ended_at = Status.SUPPRESSED.value, reason.value, now
    return dead_letters, held_back


def _render(draft: Notification, event: Notifiable, dead_letters: Mapping[UUID, int]) -> None:
    if isinstance(event, ForOperator):
        so_far = dead_letters.get(draft.message_id, 1)
        draft.subject, draft.body = alerts.text(draft.kind, event=event, so_far=so_far)
    elif draft.channel == Channel.SMS:
        draft.body = render_sms(draft.kind, facts_of(event), draft.language)
    else:
        draft.subject, draft.body, draft.html = render_email(draft.kind, facts_of(event), draft.language)


def _publish(queued: Iterable[Notification], causes: Mapping[UUID, str]) -> None:
    """
    Publish that these notifications are to be sent.

    :param causes: the keys of the events that they are about.
    """
    events = [_queued_event(notification) for notification in queued]
    with caused_by({str(id_): key for id_, key in causes.items()}):
        publish_all(events)


def _queued_event(notification: Notification) -> EmailQueued | SmsQueued:
    id_, order_id, number = str(notification.pk), str(notification.order_id or ""), notification.number
    if notification.channel == Channel.SMS:
        return SmsQueued(notification_id=id_, order_id=order_id, number=number)
    return EmailQueued(notification_id=id_, order_id=order_id, number=number)
