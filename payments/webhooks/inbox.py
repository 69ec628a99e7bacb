"""
The webhook inbox: webhooks are verified and stored as received, and processed later from the outbox. A webhook about no
payment of ours is parked until its payment is opened.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q

from messaging.contracts import PaymentAnomalyFound, WebhookReceived
from messaging.kernel.databases import advisory_lock
from messaging.kernel.ids import parse_id
from messaging.outbox import continued_trace, publish, publish_all
from payments.gateway import protocol
from payments.gateway.protocol import WebhookPayload
from payments.models import PaymentIntent, WebhookEvent

logger = logging.getLogger(__name__)

PARKING_LOCK = "payments.webhooks.parking"
"""Opening payments shares it; parking webhooks excludes both, so that neither misses the other."""


class EventIdReused(Exception):
    """
    A webhook with this event id but different content was stored before; this one was not stored.
    """


def receive(body: bytes, headers: Mapping[str, str], *, now: datetime) -> None:
    """
    Verify and store a webhook, once.

    :param headers: by names in lower case.
    :raises InvalidSignature: if the gateway has not signed it.
    :raises TimestampOutOfTolerance: if it was signed more than five minutes ago or ahead.
    :raises MalformedPayload: if it cannot be read.
    :raises EventIdReused: if its event id was stored with different content.
    """
    payload = protocol.current().read_webhook(body, headers, now=now)
    if payload and not _store(payload, body, now):
        _reject_conflict(payload)


def unpark(intents: Sequence[PaymentIntent]) -> None:
    """
    Publish again that parked webhooks about these new payments were received, so that they are processed now.
    """
    advisory_lock(PARKING_LOCK, shared=True)
    keys, order_ids = [str(intent.pk) for intent in intents], [intent.order_id for intent in intents]
    about = Q(charge_key__in=keys) | Q(order_id__in=order_ids)
    parked = WebhookEvent.objects.filter(about, status=WebhookEvent.Status.PARKED)
    publish_all([webhook_received(webhook) for webhook in parked])


def webhook_received(webhook: WebhookEvent, *, parking_is_over: bool = False) -> WebhookReceived:
    """
    Return the event that has a webhook processed. Its key is the order that the webhook names, or else the charge.
    """
    story = str(webhook.order_id or webhook.charge_key)
    return WebhookReceived(story=story, webhook_id=str(webhook.pk), parking_is_over=parking_is_over)


def _store(payload: WebhookPayload, body: bytes, now: datetime) -> bool:
    """
    Store a webhook and publish that it was received; return whether its event id is new.
    """
    with transaction.atomic():
        stored, is_new = WebhookEvent.objects.get_or_create(
            event_id=payload.event_id,
            defaults={
                "body": body,
                "fingerprint": payload.fingerprint,
                "charge_key": payload.charge_key,
                "order_id": parse_id(payload.order_id),
                "reference": payload.reference,
                "outcome": payload.outcome,
                "amount": payload.claimed.amount,
                "currency": payload.claimed.currency,
                "received_at": now,
            },
        )
        if is_new:
            received = webhook_received(stored)
            with continued_trace(received.key):
                publish(received)
        return is_new


def _reject_conflict(payload: WebhookPayload) -> None:
    """
    Reject a webhook whose event id was already stored with different content; alert the operator on the first conflict.

    :raises EventIdReused: if the content differs.
    """
    reused = WebhookEvent.objects.filter(event_id=payload.event_id).exclude(fingerprint=payload.fingerprint)
    with transaction.atomic():
        conflicts = reused.update(conflicts=F("conflicts") + 1)
        publish_all([_conflict_event(stored) for stored in reused if stored.conflicts == 1 and stored.order_id])
    if conflicts:
        logger.error("Webhook %s was received again with different content.", payload.event_id)
        raise EventIdReused("This event id was already used with different content.")


def _conflict_event(webhook: WebhookEvent) -> PaymentAnomalyFound:
    return PaymentAnomalyFound(
        order_id=str(webhook.order_id),
        anomaly="event_id_conflict",
        amount=webhook.amount,
        currency=webhook.currency,
        detail=webhook.event_id,
    )
