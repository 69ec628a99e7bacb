"""
The webhook inbox: webhooks are verified and stored as received, and processed later from the outbox. A webhook about no
payment of ours is parked until its payment is opened.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from operator import attrgetter

from django.db import transaction
from django.db.models import F, Q

from messaging.contracts import PaymentAnomalyFound, WebhookReceived
from messaging.kernel.databases import advisory_lock, insert_new, pipelined
from messaging.kernel.ids import parse_id
from messaging.kernel.tracing import current_traceparent
from messaging.outbox import continued_traces, publish_all
from payments.gateway import protocol
from payments.gateway.protocol import WebhookPayload
from payments.models import PaymentIntent, WebhookEvent

from .group_commit import GroupCommit

logger = logging.getLogger(__name__)

PARKING_LOCK = "payments.webhooks.parking"
"""Opening payments shares it; parking webhooks excludes both, so that neither misses the other."""


class EventIdReused(Exception):
    """
    A webhook with this event id but different content was stored before; this one was not stored.
    """


def receive(body: bytes, headers: Mapping[str, str], *, now: datetime) -> None:
    """
    Verify and store a webhook, once; return after the commit. Those that arrive together are stored together.

    :param headers: by names in lower case.
    :raises InvalidSignature: if the gateway has not signed it.
    :raises TimestampOutOfTolerance: if it was signed more than five minutes ago or ahead.
    :raises MalformedPayload: if it cannot be read.
    :raises EventIdReused: if its event id was stored with different content.
    """
    payload = protocol.current().read_webhook(body, headers, now=now)
    if payload and not _store(_Arrival(_webhook(payload, body, now), current_traceparent())):
        _reject_conflict(payload)


def unpark(intents: Sequence[PaymentIntent]) -> None:
    """
    Publish again that parked webhooks about these new payments were received, so that they are processed now.
    """
    advisory_lock(PARKING_LOCK, shared=True)
    keys, order_ids = [str(intent.pk) for intent in intents], [intent.order_id for intent in intents]
    about = Q(charge_key__any=keys) | Q(order_id__any=order_ids)
    parked = WebhookEvent.objects.filter(about, status=WebhookEvent.Status.PARKED)
    publish_all([webhook_received(webhook) for webhook in parked])


def webhook_received(webhook: WebhookEvent, *, parking_is_over: bool = False) -> WebhookReceived:
    """
    Return the event that has a webhook processed. Its key is the order that the webhook names, or else the charge.
    """
    story = str(webhook.order_id or webhook.charge_key)
    return WebhookReceived(story=story, webhook_id=str(webhook.pk), parking_is_over=parking_is_over)


@dataclass(frozen=True)
class _Arrival:
    """
    A genuine webhook that is to be stored, and the trace of the request that it arrived in.
    """

    webhook: WebhookEvent
    traceparent: str


@transaction.atomic
def _store_all(arrivals: Sequence[_Arrival]) -> list[bool]:
    """
    Store those webhooks whose event id is new, publish that they were received, and return of each whether it was new.
    """
    # Sorted, so that no two transactions wait for event ids of each other.
    webhooks = sorted((arrival.webhook for arrival in arrivals), key=attrgetter("event_id"))
    new_ids = insert_new(webhooks)
    are_new = [arrival.webhook.pk in new_ids for arrival in arrivals]
    received = {webhook_received(arrival.webhook): arrival for arrival in compress(arrivals, are_new)}
    with continued_traces({event.key: arrival.traceparent for event, arrival in received.items()}), pipelined():
        publish_all(list(received))
    return are_new


_store = GroupCommit(_store_all)


def _webhook(payload: WebhookPayload, body: bytes, now: datetime) -> WebhookEvent:
    return WebhookEvent(
        event_id=payload.event_id,
        body=body,
        fingerprint=payload.fingerprint,
        charge_key=payload.charge_key,
        order_id=parse_id(payload.order_id),
        reference=payload.reference,
        outcome=payload.outcome.value,
        amount=payload.claimed.amount,
        currency=payload.claimed.currency,
        status=WebhookEvent.Status.RECEIVED.value,
        received_at=now,
    )


def _reject_conflict(payload: WebhookPayload) -> None:
    """
    Reject a webhook whose event id was already stored with different content; alert the operator on the first conflict.

    :raises EventIdReused: if the content differs.
    """
    reused = WebhookEvent.objects.filter(event_id=payload.event_id).exclude(fingerprint=payload.fingerprint)
    with transaction.atomic():
        conflicts = reused.update(conflicts=F("conflicts") + 1)
        first = [stored for stored in reused if stored.conflicts == 1 and stored.order_id]
        numbers = PaymentIntent.objects.order_numbers(str(stored.order_id) for stored in first)
        publish_all([_conflict_event(stored, numbers.get(str(stored.order_id), "")) for stored in first])
    if conflicts:
        logger.error("Webhook %s was received again with different content.", payload.event_id)
        raise EventIdReused("This event id was already used with different content.")


def _conflict_event(webhook: WebhookEvent, number: str) -> PaymentAnomalyFound:
    return PaymentAnomalyFound(
        order_id=str(webhook.order_id),
        anomaly="event_id_conflict",
        amount=webhook.amount,
        currency=webhook.currency,
        detail=webhook.event_id,
        number=number,
    )
