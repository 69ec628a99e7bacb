"""
The parts of a check, and the queries by which checks allow for deliveries in progress.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet, UUIDField, Value
from django.db.models.functions import Cast, Replace

from messaging.models import Delivery

LATE_AFTER = timedelta(hours=1)
"""How late a step may be before a check reports it."""

ORDER_ID = Cast(Replace("key", Value("-"), Value("")), UUIDField())
"""The id of the order that a message is about. On PostgreSQL the cast fails for keys that are not UUIDs."""


class Finding(NamedTuple):
    """
    What a check examined. Nothing examined is an unknown result, for which `unknown_because` gives the reason.
    """

    evaluated: int
    violating: Iterable[object]
    """Distinct SKUs, ids of orders or messages, or deliveries that violate the rule."""
    unknown_because: str = "there are no rows to check yet"


class Check(NamedTuple):
    """
    A rule and the function that looks for rows violating it at a given time.
    """

    id: str
    rule: str
    examine: Callable[[datetime], Finding]
    about: str = "orders_order"
    """The model whose list in the admin finds a violation by its first word; empty if none does."""


def awaiting_delivery(*subscribers: str) -> QuerySet[Delivery, Any]:
    """
    Return the ids of orders with a pending delivery or a dead letter for one of these subscribers.
    """
    undelivered = Delivery.objects.filter(status__in=[Delivery.Status.PENDING, Delivery.Status.DEAD])
    return undelivered.filter(subscriber__in=subscribers).values_list(ORDER_ID)


def retained_since(now: datetime) -> datetime:
    """
    Return the start of the retention period: a message that is missing since then was never written.
    """
    return now - timedelta(days=settings.MESSAGING.retention_days)


def only_in_one(left: QuerySet[Any, Any], right: QuerySet[Any, Any]) -> set[object]:
    """
    Return the first columns of rows that only one of two querysets has.
    """
    return {row[0] for rows in (left.difference(right), right.difference(left)) for row in rows}
