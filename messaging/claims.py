"""
Claims: an exclusive hold on some due deliveries of one subscriber, until a lease ends.

PostgreSQL locks the chosen rows and skips what others have locked; SQLite has one writer at a time (every transaction
begins IMMEDIATE), so the same statements are exclusive there without row locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from .models import Delivery, OutboxMessage
from .subscribers import Subscriber, all_subscribers

BATCH_BYTES = 500_000

WITH_WORK = """
    WITH names (name) AS (VALUES {names})
    SELECT name FROM names WHERE EXISTS (
        SELECT 1 FROM messaging_delivery
        WHERE subscriber = name AND status = 'pending' AND due_at <= %s
    )
"""


class LeaseLost(Exception):
    """
    The worker was slower than its lease and another may have taken over, so what it did is rolled back.
    """


@dataclass(frozen=True, kw_only=True)
class Claim:
    subscriber: Subscriber
    token: UUID
    deliveries: Sequence[Delivery]
    worn_out: bool = False
    """Its workers died as often as a delivery may be attempted."""

    @property
    def messages(self) -> list[OutboxMessage]:
        return [delivery.message for delivery in self.deliveries]

    def one_by_one(self) -> list["Claim"]:
        """
        Split it into claims of one delivery each.
        """
        return [replace(self, deliveries=[delivery]) for delivery in self.deliveries]

    def settle(self, now: datetime) -> None:
        """
        Record these deliveries as delivered.

        :raises LeaseLost: if one of them is no longer held by this claim.
        """
        self.update(status=Delivery.Status.DELIVERED, delivered_at=now, claim_token=None)

    def renew(self, now: datetime) -> None:
        """
        Hold these deliveries for another lease from now.

        :raises LeaseLost: if one of them is no longer held by this claim.
        """
        self.update(due_at=now + lease())

    def update(self, **changes: object) -> None:
        """
        Write these changes while the claim still holds.

        :raises LeaseLost: if one of the deliveries is no longer held by this claim.
        """
        ids = [delivery.pk for delivery in self.deliveries]
        held = Delivery.objects.claimed_with(self.token).filter(pk__in=ids).update(**changes)
        if held != len(ids):
            raise LeaseLost(f"{self.subscriber.name} holds {held} of its {len(ids)} claimed deliveries.")


def lease() -> timedelta:
    """
    Tell how long a claim holds: longer than any handler may run.
    """
    return timedelta(seconds=settings.MESSAGING["LEASE_SECONDS"])


def subscribers_with_work(now: datetime) -> list[Subscriber]:
    """
    List the subscribers that have something due, in one statement whose cost does not grow with what is pending.
    """
    known = all_subscribers()
    names = ", ".join(["(%s)"] * len(known))
    with connection.cursor() as cursor:
        cursor.execute(WITH_WORK.format(names=names), [*known, connection.ops.adapt_datetimefield_value(now)])
        return [known[name] for (name,) in cursor.fetchall()]


@transaction.atomic
def claim(subscriber: Subscriber, *, now: datetime) -> Claim | None:
    """
    Take hold of this subscriber's next batch, counting the attempt before it is made.

    A delivery whose worker died with it is claimed alone from then on, so that it cannot take its neighbours along.
    """
    claimable = Delivery.objects.claimable(subscriber.name, now).select_related("message")
    locked = claimable.select_for_update(skip_locked=True, of=("self",))[: settings.MESSAGING["BATCH_SIZE"]]
    batch = _next_batch(list(locked))
    return _hold(subscriber, batch, now) if batch else None


def _hold(subscriber: Subscriber, batch: Sequence[Delivery], now: datetime) -> Claim:
    first = batch[0]
    worn_out = _is_abandoned(first) and first.attempts >= settings.MESSAGING["MAX_ATTEMPTS"]
    token = uuid4()
    Delivery.objects.filter(pk__in=[delivery.pk for delivery in batch]).update(
        attempts=F("attempts") + 1, claim_token=token, due_at=now + lease(), suspect=_is_suspect(first)
    )
    for delivery in batch:
        delivery.attempts += 1
    return Claim(subscriber=subscriber, token=token, deliveries=batch, worn_out=worn_out)


def _next_batch(locked: Sequence[Delivery]) -> list[Delivery]:
    if locked and _is_suspect(locked[0]):
        return [locked[0]]
    size = 0
    batch: list[Delivery] = []
    for delivery in locked:
        size += len(delivery.message.payload)
        if _is_suspect(delivery) or (batch and size > BATCH_BYTES):
            break
        batch.append(delivery)
    return batch


def _is_suspect(delivery: Delivery) -> bool:
    return delivery.suspect or _is_abandoned(delivery)


def _is_abandoned(delivery: Delivery) -> bool:
    """
    Tell whether it was claimed and neither finished nor failed: its token outlived its lease.
    """
    return delivery.claim_token is not None
