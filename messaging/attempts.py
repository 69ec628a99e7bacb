"""
Failed attempts: each is recorded, and its delivery is retried later or becomes a dead letter, which is announced.
"""

import traceback
from datetime import datetime
from hashlib import sha1
from typing import Annotated

import msgspec
from django.conf import settings
from django.db import transaction

from .backoff import retry_delay
from .batches import Claimed
from .claims import Claim
from .contracts import DeliveryDied, Undecodable
from .kernel.ids import parse_id
from .kernel.redaction import redact
from .models import Attempt, Delivery
from .outbox import handling, publish
from .subscribers import Deferral, Permanent

TRACEBACK_CHARACTERS = 8_000


class WorkerDied(Permanent):
    """
    Every worker that claimed this delivery died before finishing it.
    """


class About(msgspec.Struct):
    """
    The order that a message is about.
    """

    order_id: str = ""
    number: Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Z]{4}-[0-9A-Z]{4})?$")] = ""
    data: "About | None" = None
    """A message that could not be decoded is stored with the attributes of its CloudEvent."""


def record_failure(claim: Claim, error: BaseException, now: datetime) -> str:
    """
    Record the failed attempt of a claim of one delivery, and return its outcome: "deferred", "failed" or "dead". A
    death is published in the same transaction, unless what died is itself about a death: that would never end.

    :raises LeaseLost: if another worker has claimed the delivery.
    """
    (delivery,) = claim.deliveries
    outcome, changes = _verdict(delivery, error, now, max_deferrals=claim.subscriber.max_deferrals)
    with transaction.atomic():
        claim.update(
            **changes,
            claim_token=None,
            error_class=type(error).__name__,
            fingerprint=_fingerprint(error),
            failed_at=now,
        )
        Attempt.objects.create(
            delivery_id=delivery.pk,
            number=delivery.attempt,
            failed_at=now,
            error_class=type(error).__name__,
            error=storable(str(error))[:TRACEBACK_CHARACTERS],
            traceback=storable("".join(traceback.format_exception(error)))[-TRACEBACK_CHARACTERS:],
        )
        if outcome == "dead" and delivery.type != DeliveryDied.type:
            with handling([delivery]):
                publish(_death(delivery, claim.subscriber.name, error))
    return outcome


def storable(text: str) -> str:
    """
    Return a text without contact data, and without characters that a database rejects: an error that cannot be recorded
    would end each worker.
    """
    return redact(text).encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _verdict(
    delivery: Claimed, error: BaseException, now: datetime, *, max_deferrals: int
) -> tuple[str, dict[str, object]]:
    if isinstance(error, Deferral) and delivery.deferrals < max_deferrals:
        deferrals = delivery.deferrals + 1
        due_at = now + retry_delay(deferrals)
        return "deferred", {"deferrals": deferrals, "attempts": delivery.earlier_attempts, "due_at": due_at}
    is_permanent = isinstance(error, Permanent | Undecodable | Deferral)
    if is_permanent or delivery.attempt >= settings.MESSAGING.max_attempts:
        return "dead", {"status": Delivery.Status.DEAD}
    return "failed", {"due_at": now + retry_delay(delivery.attempt)}


def _death(delivery: Claimed, subscriber: str, error: BaseException) -> DeliveryDied:
    about = order_of(delivery.payload)
    return DeliveryDied(
        delivery_id=str(delivery.pk),
        message_id=str(delivery.message_id),
        subscriber=subscriber,
        event_type=delivery.type,
        message_key=delivery.key,
        order_id=about.order_id,
        number=about.number,
        error_class=type(error).__name__,
        fingerprint=_fingerprint(error),
    )


def order_of(payload: str) -> About:
    """
    Return which order a message is about, also if no contract describes it; none if its id or number can be none of
    the shop's: then the alert could not be stored.
    """
    try:
        message = msgspec.json.decode(payload, type=About)
    except (msgspec.DecodeError, RecursionError):
        return About()
    about = message.data or message
    return about if parse_id(about.order_id) else About()


def _fingerprint(error: BaseException) -> str:
    """
    Return a hash of the error's class and of the function that raised it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].name}" if frames else ""
    return sha1(f"{type(error).__name__}@{place}".encode(), usedforsecurity=False).hexdigest()[:16]
