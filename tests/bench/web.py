"""Orders placed over HTTP, by a load generator in a process of its own."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.utils import timezone

from orders.models import Order
from shop.accounts.services import create_key, issue_token
from tests.processes import run

from .http_requests import Caller
from .load import Load, LoadPlan
from .products import PRICE, SKUS

LOAD_SECONDS = 1800


def make_callers(number: int, *, signing: bool) -> list[Caller]:
    """Create so many customers with a token each, and with a key each if they sign."""
    now, callers = timezone.now(), []
    for at in range(number):
        customer, _ = get_user_model().objects.get_or_create(username=f"bench-{at}", email=f"{at}@example.com")
        _, token = issue_token(user=customer, name="bench", expires_in=timedelta(days=1), now=now)
        if signing:
            key, secret = create_key(owner=customer, name="bench", algorithm="hmac-sha256", now=now)
            callers.append(Caller(token, str(key.pk), secret))
        else:
            callers.append(Caller(token))
    return callers


def place_over_http(
    port: int, callers: Sequence[Caller], *, orders: int, connections: int, per_second: float = 0, **plan: str
) -> Load:
    """
    Place so many orders by a load generator.

    :param plan: further fields of the `LoadPlan`.
    :raises AssertionError: if an order was not accepted or is not stored.
    """
    before = Order.objects.count()
    load_plan = LoadPlan(
        port=port,
        callers=callers,
        skus=SKUS,
        price=PRICE,
        orders=orders,
        connections=connections,
        per_second=per_second,
        **plan,
    )
    finished = run([sys.executable, "-m", "tests.bench.load"], text=json.dumps(asdict(load_plan)), within=LOAD_SECONDS)
    assert finished.status == 0, finished.errors
    load = Load(*json.loads(finished.output))
    stored = Order.objects.count() - before
    assert (stored, load.figures["not accepted"]) == (orders, 0), f"{stored} of {orders} orders are stored: {load}"
    return load
