"""
Reception: taking in what the gateway calls back with. It is verified and stored as it came; what it means, and whether
that is true, is found out later.
"""

import logging
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import F

from messaging.contracts import PaymentAnomalyFound, WebhookReceived
from messaging.outbox import publish, publish_all
from payments.gateway import protocol
from payments.gateway.protocol import WebhookPayload
from payments.models import WebhookEvent, as_id

logger = logging.getLogger(__name__)


class EventIdReused(Exception):
    """
    Something else was stored under this id before; this was not.
    """


def receive(body: bytes, headers: Mapping[str, str], *, now: datetime) -> None:
    """
    Verify and store a webhook, once.

    :param headers: by names in lower case.
    :raises InvalidSignature: if the gateway has not signed it.
    :raises TimestampOutOfTolerance: if it was signed too long ago, or in the future.
    :raises MalformedPayload: if it cannot be read.
    :raises EventIdReused: if its id stands for something else.
    """
    claim = protocol.current().read_webhook(body, headers, now=now)
    if claim and not _store(claim, body, now):
        _refuse_conflict(claim)


def _store(claim: WebhookPayload, body: bytes, now: datetime) -> bool:
    """
    Store a webhook and announce it to ourselves, and tell whether its id is new.
    """
    with transaction.atomic():
        stored, is_new = WebhookEvent.objects.get_or_create(
            event_id=claim.event_id,
            defaults={
                "body": body,
                "fingerprint": claim.fingerprint,
                "charge_key": claim.charge_key,
                "order_id": as_id(claim.order_id),
                "reference": claim.reference,
                "outcome": claim.outcome,
                "amount": claim.claimed.amount,
                "currency": claim.claimed.currency,
                "received_at": now,
            },
        )
        if is_new:
            publish(received(stored))
        return is_new


def _refuse_conflict(claim: WebhookPayload) -> None:
    """
    Refuse what is not what was stored under its id, and have the operator told the first time.

    :raises EventIdReused: if it is not.
    """
    reused = WebhookEvent.objects.filter(event_id=claim.event_id).exclude(fingerprint=claim.fingerprint)
    with transaction.atomic():
        conflicts = reused.update(conflicts=F("conflicts") + 1)
        publish_all([_conflict(stored) for stored in reused if stored.conflicts == 1 and stored.order_id])
    if conflicts:
        logger.error("Webhook %s came again, and says something else.", claim.event_id)
        raise EventIdReused("This id stands for something else.")


def received(webhook: WebhookEvent, *, parking_is_over: bool = False) -> WebhookReceived:
    """
    Say that a webhook is to be settled, in the story of the order that it names, or else of its charge.
    """
    story = str(webhook.order_id or webhook.charge_key)
    return WebhookReceived(story=story, webhook_id=str(webhook.pk), parking_is_over=parking_is_over)


def _conflict(webhook: WebhookEvent) -> PaymentAnomalyFound:
    return PaymentAnomalyFound(
        order_id=str(webhook.order_id),
        anomaly="event_id_conflict",
        amount=webhook.amount,
        currency=webhook.currency,
        detail=webhook.event_id,
    )
