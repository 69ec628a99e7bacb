"""
Pauses by operators: while a subscriber is paused, no worker claims deliveries of it. They wait in their order.

Workers read the pauses with the statement that finds work (`claims.subscribers_with_work`), so a pause takes effect
with their next claim; batches that were claimed before are finished. `outages` has the pauses of workers.
"""

from datetime import datetime

from django.db import transaction

from . import wakeup
from .kernel.redaction import redact
from .models import OperatorPause


def pause(subscriber: str, *, reason: str, by: str, now: datetime) -> tuple[OperatorPause, bool]:
    """
    Pause a subscriber in all workers; return its pause, and whether it is new. A pause that exists is not changed.

    :raises ValueError: without a reason.
    """
    if not reason.strip():
        raise ValueError("Say why it is paused.")
    about = {"reason": redact(reason.strip())[:500], "paused_by": by[:200], "paused_at": now}
    return OperatorPause.objects.get_or_create(subscriber=subscriber, defaults=about)


@transaction.atomic
def resume(subscriber: str) -> bool:
    """
    Resume a subscriber; return whether it was paused.
    """
    deleted, _ = OperatorPause.objects.filter(subscriber=subscriber).delete()
    transaction.on_commit(wakeup.notify, robust=True)
    return bool(deleted)
