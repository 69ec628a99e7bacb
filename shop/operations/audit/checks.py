"""
What a check is, and how checks allow for news that is still on its way.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import QuerySet, UUIDField, Value
from django.db.models.functions import Cast, Replace

from messaging.models import Delivery

LATE_AFTER = timedelta(hours=1)
"""How long a busy shop, or a gateway that is down for a while, may delay a step."""

ORDER_ID = Cast(Replace("key", Value("-"), Value("")), UUIDField())
"""The order whose story a message belongs to; for keys that are no order's it fails on PostgreSQL."""


class Finding(NamedTuple):
    evaluated: int
    violating: Iterable[object]
    """What breaks the rule: skus, ids of orders, messages or deliveries, each once."""


class Check(NamedTuple):
    id: str
    rule: str
    examine: Callable[[datetime], Finding]


def under_way(*subscribers: str) -> QuerySet[Delivery, Any]:
    """
    List the orders of which one of these subscribers has not heard the latest yet, though it is due or a dead letter.
    """
    undelivered = Delivery.objects.filter(status__in=[Delivery.Status.PENDING, Delivery.Status.DEAD])
    return undelivered.filter(subscriber__in=subscribers).values_list(ORDER_ID)


def remembered_since(now: datetime) -> datetime:
    """
    Tell from when on no message can have been pruned, so that a missing one was never written.
    """
    return now - timedelta(days=settings.MESSAGING.retention_days)


def only_in_one(left: QuerySet[Any, Any], right: QuerySet[Any, Any]) -> set[object]:
    """
    Compare two sets of rows, and return the first columns of those that the other one lacks.
    """
    return {row[0] for rows in (left.difference(right), right.difference(left)) for row in rows}
