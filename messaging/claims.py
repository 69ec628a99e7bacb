"""
Claims: an exclusive hold on some due deliveries of one subscriber, until a lease ends.

PostgreSQL locks the chosen rows and skips what others have locked; SQLite has one writer at a time (every transaction
begins IMMEDIATE), so the same statements are exclusive there without row locks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple
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
        WHERE subscriber = name AND status = 'pending' AND delivered_at IS NULL AND due_at <= %s
    )
"""


class LeaseLost(Exception):
    """
    The worker was slower than its lease and another may have taken over, so what it did is rolled back.
    """


class Claimed(NamedTuple):
    """
    A delivery as it was before its claim, with its message.
    """

    message_id: UUID
    pk: int
    key: str
    earlier_attempts: int
    deferrals: int
    suspect: bool
    abandoned_token: UUID | None
    type: str
    payload: str
    correlation_id: UUID
    traceparent: str

    @property
    def attempt(self) -> int:
        return self.earlier_attempts + 1

    @property
    def is_suspect(self) -> bool:
        return self.suspect or self.is_abandoned

    @property
    def is_abandoned(self) -> bool:
        """
        Tell whether it was claimed and neither finished nor failed: its token outlived its lease.
        """
        return self.abandoned_token is not None

    @property
    def is_worn_out(self) -> bool:
        """
        Tell whether its workers died as often as a delivery may be attempted.
        """
        return self.is_abandoned and self.earlier_attempts >= settings.MESSAGING["MAX_ATTEMPTS"]


DELIVERY_FIELDS = ("message_id", "pk", "key", "attempts", "deferrals", "suspect", "claim_token")
MESSAGE_FIELDS = ("pk", "type", "payload", "correlation_id", "traceparent")


@dataclass(frozen=True, kw_only=True)
class Claim:
    subscriber: Subscriber
    token: UUID
    deliveries: Sequence[Claimed]

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
    claimable = Delivery.objects.claimable(subscriber.name, now).select_for_update(skip_locked=True)
    locked = claimable.values_list(*DELIVERY_FIELDS)[: settings.MESSAGING["BATCH_SIZE"]]
    batch = _next_batch(_with_messages(list(locked)))
    return _hold(subscriber, batch, now) if batch else None


def _with_messages(locked: Sequence[Any]) -> list[Claimed]:
    ids = [message_id for message_id, *_ in locked]
    messages = OutboxMessage.objects.filter(pk__in=ids).values_list(*MESSAGE_FIELDS)
    by_id = {message_id: message for message_id, *message in messages}
    return [Claimed(message_id, *delivery, *by_id[message_id]) for message_id, *delivery in locked]


def _hold(subscriber: Subscriber, batch: Sequence[Claimed], now: datetime) -> Claim:
    token = uuid4()
    Delivery.objects.filter(pk__in=[delivery.pk for delivery in batch]).update(
        attempts=F("attempts") + 1,
        claim_token=token,
        due_at=now + lease(),
        delayed=False,
        suspect=batch[0].is_suspect,
    )
    return Claim(subscriber=subscriber, token=token, deliveries=batch)


def _next_batch(due: Sequence[Claimed]) -> Sequence[Claimed]:
    if due and due[0].is_suspect:
        return due[:1]
    due = _one_per_key(due)
    sizes = accumulate(len(delivery.payload) for delivery in due)
    fits = [size <= BATCH_BYTES and not delivery.is_suspect for delivery, size in zip(due, sizes, strict=True)]
    return due[: max(1, fits.index(False))] if False in fits else due


def _one_per_key(due: Sequence[Claimed]) -> list[Claimed]:
    """
    Leave for the next claim what would join an earlier delivery of its key: a delayed one does not hold its key.
    """
    earliest = {delivery.key: delivery for delivery in reversed(due)}
    return [delivery for delivery in due if earliest[delivery.key] is delivery]
