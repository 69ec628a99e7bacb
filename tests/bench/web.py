"""Orders placed over HTTP, by a load generator in a process of its own."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.utils import timezone

from shop.accounts.services import create_key, issue_token
from tests.processes import run

from .figures import PRICE, SKUS
from .http_requests import Caller
from .load import LoadPlan

LOAD_SECONDS = 1800


def make_callers(number: int, *, signing: bool) -> list[Caller]:
    """Create so many customers with a token each, and with a key each if they sign."""
    now, callers = timezone.now(), []
    for at in range(number):
        customer, _ = get_user_model().objects.get_or_create(username=f"bench-{at}")
        _, token = issue_token(user=customer, name="bench", expires_in=timedelta(days=1), now=now)
        if signing:
            key, secret = create_key(owner=customer, name="bench", algorithm="hmac-sha256", now=now)
            callers.append(Caller(token, str(key.pk), secret))
        else:
            callers.append(Caller(token))
    return callers


def place_over_http(
    port: int, callers: Sequence[Caller], *, orders: int, connections: int, per_second: float = 0
) -> Mapping[str, float]:
    """Place so many orders by a load generator, and return its figures."""
    plan = LoadPlan(
        port=port,
        callers=callers,
        skus=SKUS,
        price=PRICE,
        orders=orders,
        connections=connections,
        per_second=per_second,
    )
    finished = run([sys.executable, "-m", "tests.bench.load"], text=json.dumps(asdict(plan)), within=LOAD_SECONDS)
    assert finished.status == 0, finished.errors
    return json.loads(finished.output)
