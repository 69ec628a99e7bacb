"""
Failed attempts: each is recorded, and its delivery is retried later or becomes a dead letter.
"""

import traceback
from datetime import datetime
from hashlib import sha1

from django.conf import settings
from django.db import transaction

from .backoff import MAX_DEFERRALS, retry_delay
from .batches import Claimed
from .claims import Claim
from .contracts import Undecodable
from .models import Attempt, Delivery
from .subscribers import Deferral, Permanent

TRACEBACK_CHARACTERS = 8_000


class WorkerDied(Permanent):
    """
    Every worker that claimed this delivery died before finishing it.
    """


def record_failure(claim: Claim, error: BaseException, now: datetime) -> str:
    """
    Record the failed attempt of a claim of one delivery, and return its outcome: "deferred", "failed" or "dead".

    :raises LeaseLost: if another worker has claimed the delivery.
    """
    (delivery,) = claim.deliveries
    outcome, changes = _verdict(delivery, error, now)
    with transaction.atomic():
        claim.update(**changes, claim_token=None, error_class=type(error).__name__, fingerprint=_fingerprint(error))
        Attempt.objects.create(
            delivery_id=delivery.pk,
            number=delivery.attempt,
            failed_at=now,
            error_class=type(error).__name__,
            error=_storable(str(error))[:TRACEBACK_CHARACTERS],
            traceback=_storable("".join(traceback.format_exception(error)))[-TRACEBACK_CHARACTERS:],
        )
    return outcome


def _verdict(delivery: Claimed, error: BaseException, now: datetime) -> tuple[str, dict[str, object]]:
    if isinstance(error, Deferral) and delivery.deferrals < MAX_DEFERRALS:
        deferrals = delivery.deferrals + 1
        due_at = now + retry_delay(deferrals)
        return "deferred", {"deferrals": deferrals, "attempts": delivery.earlier_attempts, "due_at": due_at}
    is_permanent = isinstance(error, Permanent | Undecodable | Deferral)
    if is_permanent or delivery.attempt >= settings.MESSAGING.max_attempts:
        return "dead", {"status": Delivery.Status.DEAD}
    return "failed", {"due_at": now + retry_delay(delivery.attempt)}


def _storable(text: str) -> str:
    """
    Return a text without characters that a database rejects: an error that cannot be recorded would end each worker.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _fingerprint(error: BaseException) -> str:
    """
    Return a hash of the error's class and of the function that raised it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].name}" if frames else ""
    return sha1(f"{type(error).__name__}@{place}".encode(), usedforsecurity=False).hexdigest()[:16]
