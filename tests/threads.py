"""Calls and workers in threads, each with a database connection of its own."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime

from django.db import connections
from django.db.models import Q
from django.utils import timezone

from messaging.models import Delivery
from messaging.relay import Relay
from tests.waiting import eventually


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make these calls at the same moment, and return what each returned or raised."""
    start = threading.Barrier(len(calls))
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: _result(call, start), calls))


@contextmanager
def workers(number: int, *, clock: Callable[[], datetime] = timezone.now) -> Iterator[None]:
    """Run so many relays during the block, and until nothing is left to deliver."""
    stop = threading.Event()
    threads = [threading.Thread(target=_deliver, args=(stop, clock)) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
        _wait_until_delivered(clock)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _result(call: Callable[[], object], start: threading.Barrier) -> object:
    try:
        start.wait()
        return call()
    except Exception as error:  # noqa: BLE001  (the caller judges it)
        return error
    finally:
        connections.close_all()


def _deliver(stop: threading.Event, clock: Callable[[], datetime]) -> None:
    try:
        Relay(clock=clock).run(stop)
    finally:
        connections.close_all()


def _wait_until_delivered(clock: Callable[[], datetime]) -> None:
    pending = Delivery.objects.filter(status=Delivery.Status.PENDING)
    is_due = Q(delayed=False) | Q(claim_token__isnull=False)
    eventually(lambda: not pending.filter(is_due | Q(due_at__lte=clock())).exists())
