"""
A real web server on the bench's database, and orders placed over HTTP by a process of its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.utils import timezone

from shop.accounts.services import create_key, issue_token
from shop.management.commands import up

from .figures import PRICE, SKUS
from .load import Plan
from .wire import Caller


@contextmanager
def web_server(workers: int) -> Iterator[int]:
    """
    Serve the shop as `manage.py up` does, by so many processes, for the time of the block; give the port.
    """
    with up.listen("127.0.0.1", 0) as listener:
        server = subprocess.Popen(
            up.web_server(listener),
            env=os.environ | {"WEB_CONCURRENCY": str(workers)},
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        try:
            yield listener.getsockname()[1]
        finally:
            server.terminate()
            server.wait(30)


def make_callers(number: int, *, signing: bool) -> list[Caller]:
    """
    Give so many customers a token each, and those who sign a key.
    """
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
    """
    Have a load generator place so many orders, and tell how it went.
    """
    plan = Plan(
        port=port,
        callers=callers,
        skus=SKUS,
        price=PRICE,
        orders=orders,
        connections=connections,
        per_second=per_second,
    )
    told = json.dumps(asdict(plan))
    generator = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"], input=told, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(generator.stdout)
