"""
A generated database of a busy shop: `copies` of a million orders, whose messages of the last month are still there.
"""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random

from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from messaging import dead_letters, relay
from messaging.dead_letter_forms import MOST_AT_ONCE
from messaging.models import Delivery, ReceiverState, Worker
from notifications.models import Suppression
from orders.models import Order, OrderNote
from payments.models import Reconciliation
from shop.accounts.models import Token
from shop.accounts.services import create_key
from shop.settings.groups import INSTANT_GATEWAY

from .copies import Plan, copy_orders
from .originals import LIVES, originals

SEED = 20261129
DAYS = 35
"""Older than the retention of messages: those of the first days are pruned."""

ORDINARY: Mapping[str, float] = {
    "confirmed": 770,
    "partly refunded": 20,
    "refunded": 25,
    "cancelled": 25,
    "declined": 45,
    "sold out": 25,
    "expired": 35,
    "refund rejected": 0.5,
    "mail bounced": 2,
    "mail failed": 1,
    "disputed": 0.2,
    "poisoned": 52,
}
PERIODS: tuple[tuple[timedelta, Mapping[str, float]], ...] = (
    (timedelta(minutes=2), {"placed": 1}),
    (timedelta(minutes=15), {"awaiting payment": 3, "unknown": 1, "parked": 1, "confirmed": 15}),
    (timedelta(days=1), {"without mail": 900, "poisoned": 40, "declined": 30, "expired": 29, "mail failed": 1}),
    (timedelta(days=DAYS), ORDINARY),
)
"""How frequent the kinds of orders are, by their largest age: the mail provider has been down for a day."""


def generate(orders: int, *, now: datetime) -> dict[str, float]:
    """
    Fill the database of a shop without orders with so many, and return its figures.

    :raises AssertionError: if other rows are there than there should be.
    """
    began = time.perf_counter()
    relay.drain()
    products = Delivery.objects.count()
    kinds = originals()
    plan = _plan(orders, now)
    since = now - timedelta(days=settings.MESSAGING.retention_days)
    copy_orders(kinds, plan, messages_since=since)
    deliveries = products + sum(len(kinds[kind].rows[Delivery]) for kind, at in plan if at >= since)
    found = Order.objects.count(), Delivery.objects.count()
    assert found == (orders, deliveries), f"{found} orders and deliveries instead of {orders, deliveries}"
    _resolve_some()
    _add_rare_rows(now)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return {"seconds": time.perf_counter() - began, **sizes()}


def _resolve_some() -> None:
    """Replay some dead letters, and discard others."""
    letters = Delivery.objects.dead().filter(subscriber="payments.settle_webhook").order_by(*dead_letters.BY_GROUP)
    now = timezone.now()
    dead_letters.discard(letters[:MOST_AT_ONCE], by="olga", now=now, reason="of another shop")
    dead_letters.replay(letters[:MOST_AT_ONCE], by="olga", now=now)


def _add_rare_rows(now: datetime) -> None:
    """Add rows of lists that no order fills, and what operators wrote."""
    customers = get_user_model().objects.order_by("pk")[:100]
    for customer in customers:
        Token.objects.create(user=customer, name="till")
        create_key(owner=customer, name="till", algorithm="hmac-sha256", now=now)
    Suppression.objects.bulk_create(
        Suppression(channel="email", recipient=customer.email, reason="bounced", created_at=now)
        for customer in customers
    )
    some = list(Order.objects.order_by("-pk")[:1000])
    OrderNote.objects.bulk_create(OrderNote(order=order, text="called", author="olga", at=now) for order in some)
    LogEntry.objects.log_actions(str(customers[0].pk), some, CHANGE, "Added a note.")
    worker = Worker.objects.create(host="shop.example", process=4711, started_at=now)
    ReceiverState.objects.create(worker=worker, status="connecting", since=now)
    Reconciliation.objects.create(gateway=INSTANT_GATEWAY, began_at=now, unconfirmed=0)


def sizes() -> dict[str, float]:
    """Return the sizes of the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database()) / 1e9")
        [(gigabytes,)] = cursor.fetchall()
    return {
        "GB": float(gigabytes),
        "orders": Order.objects.count(),
        "deliveries": Delivery.objects.count(),
        "dead letters": Delivery.objects.dead().count(),
        "pending deliveries": Delivery.objects.filter(status="pending", delivered_at=None).count(),
    }


def _plan(orders: int, now: datetime) -> Plan:
    """Return a plan with as many orders at any time; the newest are one of each kind."""
    random, step, plan = Random(SEED), timedelta(days=DAYS) / orders, []
    youngest = timedelta()
    for oldest, frequencies in PERIODS:
        ages = [step * n for n in range(youngest // step + 1, oldest // step + 1)]
        kinds = random.choices([*frequencies], [*frequencies.values()], k=len(ages))
        plan += [(kind, now - age) for kind, age in zip(kinds, ages, strict=True)]
        youngest = oldest
    plan[: len(LIVES)] = [(kind, at) for kind, (_, at) in zip(LIVES, plan, strict=False)]
    return plan[::-1]
