"""
Search for orders by what a person has of them: a number, an id or its beginning, an e-mail address or its beginning, a
phone number, an idempotency key, a customer's username, a sku, or what other contexts know (`shop.http.order_panels`).
Every search uses an index.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

from messaging.kernel.lookups import Bytewise, begins_with
from messaging.kernel.order_numbers import InvalidNumber, parse_number
from shop.http.order_panels import find_elsewhere

from .models import Order, OrderLine

MOST_FOUND = 1_000
ID_PREFIX = re.compile(r"[0-9a-f]{8,31}", re.ASCII)
"""A shorter one would be that of every order of a minute, since ids begin with the time."""

PHONE = re.compile(r"\+[0-9 ()/.-]{5,30}", re.ASCII)
NO_DIGITS = re.compile(r"[^0-9]", re.ASCII)


def find_orders(term: str, *, limit: int = MOST_FOUND) -> list[UUID]:
    """
    Return the ids of at most so many orders that a person means by this text. An exact match hides others.
    """
    term = term.strip()
    if not term or "\0" in term:
        return []
    return _exact(term, limit) or _similar(term, limit) or _by_sku(term, limit) or find_elsewhere(term, limit)


def _exact(term: str, limit: int) -> list[UUID]:
    """
    Find by number, whole id or idempotency key.
    """
    orders = Order.objects.filter(idempotency_key=term).values_list("pk", flat=True)
    identities = [Order.objects.filter(identity).values_list("pk", flat=True) for identity in _identities(term)]
    return list(dict.fromkeys(orders.union(*identities, all=True)[:limit]))


def _identities(term: str) -> Iterator[Q]:
    with suppress(InvalidNumber):
        yield Q(number=parse_number(term))
    with suppress(ValueError):
        yield Q(pk=UUID(term))


def _similar(term: str, limit: int) -> list[UUID]:
    """
    Find by the beginning of an address or an id, by phone number or by username.
    """
    conditions = [begins_with(Bytewise(Lower("email")), term.lower()), Q(customer__username=term)]
    if PHONE.fullmatch(term):
        conditions.append(Q(phone=f"+{NO_DIGITS.sub('', term)}"))
    digits = term.lower().replace("-", "")
    if ID_PREFIX.fullmatch(digits):
        conditions.append(Q(pk__gte=UUID(digits.ljust(32, "0")), pk__lte=UUID(digits.ljust(32, "f"))))
    first, *others = [Order.objects.filter(condition).values_list("pk", flat=True) for condition in conditions]
    return list(dict.fromkeys(first.union(*others, all=True)[:limit]))


def _by_sku(term: str, limit: int) -> list[UUID]:
    """
    Find the newest orders with a sku.
    """
    lines: QuerySet[OrderLine, UUID] = OrderLine.objects.filter(sku=term).values_list("order_id", flat=True)
    return list(dict.fromkeys(lines.order_by("-id")[:limit]))
