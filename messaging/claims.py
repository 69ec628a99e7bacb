"""
Claims: an exclusive hold on some due deliveries of one subscriber, until a lease ends.

PostgreSQL locks the chosen rows and skips what others have locked; SQLite has one writer at a time (every transaction
begins IMMEDIATE), so the same statements are exclusive there without row locks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper

from .kernel.databases import adapt, async_commit, read_uuid
from .models import Delivery
from .subscribers import Subscriber, all_subscribers

BATCH_BYTES = 500_000

WITH_WORK = """
    WITH names (name) AS (VALUES {names})
    SELECT name FROM names WHERE EXISTS (
        SELECT 1 FROM messaging_delivery
        WHERE subscriber = name AND status = 'pending' AND delivered_at IS NULL AND due_at <= %s
    )
"""

# What no earlier pending delivery of its key holds back. The statistics of a queue are always out of date, so the
# statement leaves PostgreSQL one sensible plan: NOT EXISTS may become a join over everything pending, and a subquery
# that `IS NULL` is believed to be rare enough to sort it all.
CLAIMABLE = """
    SELECT due_at, id, message_id, key, attempts, deferrals, suspect, claim_token
    FROM messaging_delivery AS candidate
    WHERE subscriber = %s AND status = 'pending' AND delivered_at IS NULL AND due_at <= %s AND COALESCE((
        SELECT 1 FROM messaging_delivery AS earlier
        WHERE earlier.subscriber = candidate.subscriber AND earlier.key = candidate.key AND earlier.id < candidate.id
            AND earlier.status = 'pending' AND NOT earlier.delayed
        LIMIT 1
    ), 0) <> 1
    ORDER BY due_at LIMIT %s
"""

MESSAGES = "SELECT id, type, payload, correlation_id, traceparent FROM messaging_outboxmessage WHERE id IN ({ids})"

HOLD = """
    UPDATE messaging_delivery
    SET attempts = attempts + 1, claim_token = %s, due_at = %s, delayed = FALSE, suspect = %s
    WHERE id IN ({ids})
"""


class LeaseLost(Exception):
    """
    The worker was slower than its lease and another may have taken over, so what it did is rolled back.
    """


class Claimed(NamedTuple):
    """
    A delivery as it was before its claim, with its message.
    """

    pk: int
    message_id: UUID
    key: str
    earlier_attempts: int
    deferrals: int
    suspect: bool
    abandoned_token: object
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
        return self.is_abandoned and self.earlier_attempts >= settings.MESSAGING.max_attempts


@dataclass(frozen=True, kw_only=True)
class Claim:
    subscriber: Subscriber
    token: UUID
    deliveries: Sequence[Claimed]

    def only(self, keep: Callable[[Claimed], bool]) -> "Claim":
        """
        Narrow it to the deliveries to keep.
        """
        return replace(self, deliveries=[delivery for delivery in self.deliveries if keep(delivery)])

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
    return timedelta(seconds=settings.MESSAGING.lease_seconds)


def subscribers_with_work(now: datetime) -> list[Subscriber]:
    """
    List the subscribers that have something due, in one statement whose cost does not grow with what is pending.
    """
    known = all_subscribers()
    names = ", ".join(["(%s)"] * len(known))
    with connection.cursor() as cursor:
        cursor.execute(WITH_WORK.format(names=names), [*known, adapt(now)])
        return [known[name] for (name,) in cursor.fetchall()]


def batch_size(subscriber: Subscriber) -> int:
    """
    Tell how many deliveries a subscriber is handed at once: one that calls the outside, no more than calls are made so.
    """
    limits = settings.MESSAGING
    return limits.batch_size if subscriber.transactional else limits.outside_calls_at_once


def claim(subscriber: Subscriber, *, at_most: int | None = None, now: datetime) -> Claim | None:
    """
    Take hold of this subscriber's next batch, counting the attempt before it is made.

    A delivery whose worker died with it is claimed alone from then on, so that it cannot take its neighbours along.
    """
    with async_commit(), connection.cursor() as cursor:
        batch = _next_batch(_lock_claimable(cursor, subscriber, at_most or batch_size(subscriber), now))
        return _hold(cursor, subscriber, batch, now) if batch else None


def _lock_claimable(cursor: CursorWrapper, subscriber: Subscriber, limit: int, now: datetime) -> list[Claimed]:
    lock = " FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    cursor.execute(CLAIMABLE + lock, [subscriber.name, adapt(now), limit])
    due = sorted(cursor.fetchall())
    if not due:
        return []
    cursor.execute(MESSAGES.format(ids=_placeholders(due)), [message_id for _, _, message_id, *_ in due])
    messages = {message_id: message for message_id, *message in cursor.fetchall()}
    return [_claimed(pk, message_id, state, messages[message_id]) for _, pk, message_id, *state in due]


def _claimed(pk: int, message_id: UUID | str, state: Sequence[Any], message: Sequence[Any]) -> Claimed:
    type_, payload, correlation_id, traceparent = message
    return Claimed._make([pk, read_uuid(message_id), *state, type_, payload, read_uuid(correlation_id), traceparent])


def _hold(cursor: CursorWrapper, subscriber: Subscriber, batch: Sequence[Claimed], now: datetime) -> Claim:
    claim = Claim(subscriber=subscriber, token=uuid4(), deliveries=batch)
    cursor.execute(
        HOLD.format(ids=_placeholders(batch)),
        [claim.token.hex, adapt(now + lease()), batch[0].is_suspect, *(delivery.pk for delivery in batch)],
    )
    return claim


def _next_batch(due: Sequence[Claimed]) -> Sequence[Claimed]:
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


def _placeholders(rows: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(rows))
