"""
Claims: exclusive access to due deliveries of one subscriber, until a lease ends.

PostgreSQL locks the rows and skips those that others have locked; SQLite has one writer at a time (every transaction
begins IMMEDIATE), so the same statements are exclusive there without row locks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from secrets import randbits
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from .batches import Claimed, next_batch
from .kernel.databases import COMMIT_ASYNC, adapt, async_commit, read_moment, read_uuid
from .kernel.lookups import equals_any
from .models import Delivery, DeliveryQuerySet
from .subscribers import Subscriber, all_subscribers

TOKEN_RANDOM_BITS = 96
"""A token is the number of its worker in 32 bits, 0 if the worker has none, and then random."""

# The statistics of a queue are always out of date, so both statements leave PostgreSQL one plan. It may turn EXISTS and
# NOT EXISTS into a join over all pending rows, and it takes `(subquery) IS NULL` for so selective that it sorts all of
# them.
WITH_WORK = """
    WITH names (name) AS (VALUES {names})
    SELECT name FROM names WHERE COALESCE((
        SELECT 1 FROM messaging_delivery
        WHERE subscriber = name AND status = 'pending' AND delivered_at IS NULL AND due_at <= %s
        LIMIT 1
    ), 0) = 1 AND name NOT IN (SELECT subscriber FROM messaging_operatorpause)
"""

# Due deliveries without an earlier pending one with the same key.
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

MESSAGES = """
    SELECT id, type, version, payload, correlation_id, causation_id, traceparent, published_at
    FROM messaging_outboxmessage WHERE {chosen}
"""

TAKE = """
    UPDATE messaging_delivery
    SET attempts = attempts + 1, claim_token = %s, due_at = %s, delayed = FALSE, suspect = %s
    {commit} WHERE {chosen}
"""

DELIVERED = """
    UPDATE messaging_delivery SET status = 'delivered', delivered_at = %s, claim_token = NULL
    WHERE status = 'pending' AND claim_token = %s AND {chosen}
"""


class LeaseLost(Exception):
    """
    The lease ended before the worker did, and another worker may have claimed the deliveries: the work is rolled back.
    """


@dataclass(frozen=True, kw_only=True)
class Claim:
    subscriber: Subscriber
    token: UUID
    deliveries: Sequence[Claimed]

    @property
    def is_suspect(self) -> bool:
        """
        Return whether a worker died with these deliveries: no batch is suspect in part.
        """
        return self.deliveries[0].is_suspect

    def only(self, keep: Callable[[Claimed], bool]) -> "Claim":
        """
        Return the claim without the deliveries that `keep` rejects.
        """
        return replace(self, deliveries=[delivery for delivery in self.deliveries if keep(delivery)])

    def one_by_one(self) -> list["Claim"]:
        """
        Return a claim for each delivery.
        """
        return [replace(self, deliveries=[delivery]) for delivery in self.deliveries]

    def mark_delivered(self, now: datetime) -> None:
        """
        Mark the deliveries as delivered.

        :raises LeaseLost: if another worker has claimed one of them.
        """
        chosen, ids = equals_any("id", self._ids())
        with connection.cursor() as cursor:
            cursor.execute(DELIVERED.format(chosen=chosen), [adapt(now), self.token.hex, *ids])
            self._require_all(cursor.rowcount)

    def renew(self, now: datetime) -> None:
        """
        Extend the lease, from now.

        :raises LeaseLost: if another worker has claimed one of them.
        """
        self.update(due_at=now + lease())

    def update(self, **changes: object) -> None:
        """
        Update the deliveries if the claim is still valid.

        :raises LeaseLost: if another worker has claimed one of them.
        """
        self._require_all(Delivery.objects.claimed_with(self.token).filter(pk__any=self._ids()).update(**changes))

    def _ids(self) -> list[int]:
        return [delivery.pk for delivery in self.deliveries]

    def _require_all(self, updated: int) -> None:
        if updated != len(self.deliveries):
            raise LeaseLost(
                f"{self.subscriber.name} still holds {updated} of {len(self.deliveries)} claimed deliveries."
            )


def lease() -> timedelta:
    """
    Return how long a claim is valid: longer than any subscriber may run.
    """
    return timedelta(seconds=settings.MESSAGING.lease_seconds)


def subscribers_with_work(now: datetime) -> list[Subscriber]:
    """
    Return the subscribers with due deliveries that no operator has paused, by one statement whose cost does not depend
    on how many are pending.
    """
    subscribers = all_subscribers()
    names = ", ".join(["(%s)"] * len(subscribers))
    with connection.cursor() as cursor:
        cursor.execute(WITH_WORK.format(names=names), [*subscribers, adapt(now)])
        return [subscribers[name] for (name,) in cursor.fetchall()]


def batch_size(subscriber: Subscriber) -> int:
    """
    Return the maximum batch of a subscriber: for one that makes a call for each event, the number of concurrent calls.
    """
    limits = settings.MESSAGING
    return limits.batch_size if subscriber.transactional or subscriber.in_one_call else limits.outside_calls_at_once


def claim_batch(subscriber: Subscriber, *, at_most: int | None = None, worker: int = 0, now: datetime) -> Claim | None:
    """
    Claim the next batch of a subscriber, and count the attempt before it is made. Return None if nothing is due.

    :param worker: the number of the worker that claims, 0 if it has none.
    """
    around = async_commit() if connection.vendor == "sqlite" else transaction.atomic()
    with around, connection.cursor() as cursor:
        due = _lock_claimable(cursor, subscriber, at_most or batch_size(subscriber), now)
        batch = next_batch(due, usual_size=batch_size(subscriber))
        return _take(cursor, subscriber, batch, worker, now) if batch else None


def claims_of(worker: int, now: datetime) -> DeliveryQuerySet:
    """
    Return the deliveries that a worker has claimed and not finished, and whose lease has not ended.
    """
    first, last = worker << TOKEN_RANDOM_BITS, ((worker + 1) << TOKEN_RANDOM_BITS) - 1
    pending = Delivery.objects.filter(status=Delivery.Status.PENDING, delivered_at=None)
    leased = pending.filter(due_at__gt=now, due_at__lte=now + lease())  # by `pending_by_due`: tokens have no index
    return leased.filter(claim_token__range=(UUID(int=first), UUID(int=last)))


def _lock_claimable(cursor: CursorWrapper, subscriber: Subscriber, limit: int, now: datetime) -> list[Claimed]:
    lock = " FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    cursor.execute(CLAIMABLE + lock, [subscriber.name, adapt(now), limit])
    due = sorted(cursor.fetchall())
    if not due:
        return []
    chosen, ids = equals_any("id", [message_id for _, _, message_id, *_ in due])
    cursor.execute(MESSAGES.format(chosen=chosen), ids)
    messages = {message_id: message for message_id, *message in cursor.fetchall()}
    return [_claimed(pk, message_id, state, messages[message_id]) for _, pk, message_id, *state in due]


def _claimed(pk: int, message_id: UUID | str, state: Sequence[Any], message: Sequence[Any]) -> Claimed:
    type_, version, payload, correlation_id, causation_id, traceparent, published_at = message
    causation_id = read_uuid(causation_id) if causation_id else None
    of_message = [
        type_,
        version,
        payload,
        read_uuid(correlation_id),
        causation_id,
        traceparent,
        read_moment(published_at),
    ]
    return Claimed._make([pk, read_uuid(message_id), *state, *of_message])


def _new_token(worker: int) -> UUID:
    return UUID(int=(worker << TOKEN_RANDOM_BITS) + randbits(TOKEN_RANDOM_BITS))


def _take(cursor: CursorWrapper, subscriber: Subscriber, batch: Sequence[Claimed], worker: int, now: datetime) -> Claim:
    claim = Claim(subscriber=subscriber, token=_new_token(worker), deliveries=batch)
    chosen, ids = equals_any("id", [delivery.pk for delivery in batch])
    commit = "FROM " + COMMIT_ASYNC if connection.vendor == "postgresql" else ""
    cursor.execute(
        TAKE.format(commit=commit, chosen=chosen), [claim.token.hex, adapt(now + lease()), claim.is_suspect, *ids]
    )
    return claim
