"""
Moving the deliveries of a context's subscribers here, from the database of a service that no longer has the context.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from django.db import transaction

from . import wakeup
from .kernel.databases import insert_new
from .models import Attempt, Delivery, OutboxMessage

ROWS_AT_ONCE = 1_000
FINISHED = {Delivery.Status.DELIVERED, Delivery.Status.DISCARDED}


class StillDelivering(Exception):
    """
    A worker of the other service is delivering to a subscriber of the context.
    """


def move_deliveries(context: str, *, source: str, now: datetime) -> int:
    """
    Move all deliveries to the subscribers of a context here, with their messages and failed attempts, and return how
    many. Finished ones come too: a message that the broker delivers again here is then known. A delivery that exists
    here stays, but is finished if that of the source is. Messages also stay in the source, for other subscribers.

    It needs a transaction in each of the databases. That here has to commit first.

    :param source: the alias of the other database.
    :raises StillDelivering: if a delivery is claimed, and its lease has not ended.
    """
    moved, last = 0, 0
    deliveries = Delivery.objects.using(source).filter(subscriber__startswith=f"{context}.").order_by("pk")
    while rows := list(deliveries.filter(pk__gt=last).select_for_update()[:ROWS_AT_ONCE]):
        _require_unclaimed(rows, now)
        moved, last = moved + len(rows), rows[-1].pk
        ids = [row.pk for row in rows]
        _insert(rows, source)
        deliveries.filter(pk__in=ids).delete()
    transaction.on_commit(wakeup.notify, robust=True)
    return moved


def _require_unclaimed(rows: Sequence[Delivery], now: datetime) -> None:
    for row in rows:
        if row.claim_token and row.status == Delivery.Status.PENDING and row.due_at > now:
            raise StillDelivering(f"A worker delivers to {row.subscriber} until {row.due_at:%H:%M:%S} UTC at most.")


def _insert(rows: Sequence[Delivery], source: str) -> None:
    messages = OutboxMessage.objects.using(source).in_bulk({row.message_id for row in rows})
    insert_new(sorted(messages.values(), key=attrgetter("pk")))
    present = {(row.message_id, row.subscriber): row for row in Delivery.objects.filter(message_id__in=list(messages))}
    new = [row for row in rows if (row.message_id, row.subscriber) not in present]
    for row in rows:
        if row.status in FINISHED and (row.message_id, row.subscriber) in present:
            _finish(present[row.message_id, row.subscriber], row)
    _insert_new(new, source)


def _finish(present: Delivery, row: Delivery) -> None:
    Delivery.objects.filter(pk=present.pk, status=Delivery.Status.PENDING).update(
        status=row.status, delivered_at=row.delivered_at, claim_token=None
    )


def _insert_new(rows: Sequence[Delivery], source: str) -> None:
    """
    Insert deliveries in their order, with their failed attempts.
    """
    failures = Attempt.objects.using(source).filter(delivery__in=[row.pk for row in rows]).order_by("delivery_id", "pk")
    failures_of = {pk: list(group) for pk, group in groupby(failures, key=attrgetter("delivery_id"))}
    attempts = [failures_of.get(row.pk, []) for row in rows]
    for row in rows:
        row.pk, row.claim_token, row.resolution = None, None, None  # the resolutions stay in the source
    inserted = Delivery.objects.bulk_create(rows)
    for row, its_attempts in zip(inserted, attempts, strict=True):
        for attempt in its_attempts:
            attempt.pk, attempt.delivery_id = None, row.pk
    Attempt.objects.bulk_create([attempt for its_attempts in attempts for attempt in its_attempts])
