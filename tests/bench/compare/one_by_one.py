"""
A plain outbox relay: each worker takes the oldest due delivery, handles it, and commits both in one transaction.

`python -m tests.bench.compare.one_by_one WORKERS` runs so many workers, and starts another for each that dies. A
message whose handler calls an external service is claimed for some seconds first: no transaction should wait for that.
"""

import gc
import os
import sys
import threading
from datetime import timedelta
from typing import NoReturn

import django

django.setup()

from django.db import transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.utils import timezone  # noqa: E402

from messaging import wakeup  # noqa: E402
from messaging.backoff import retry_delay  # noqa: E402
from messaging.models import Delivery  # noqa: E402

from . import single  # noqa: E402

CLAIM = timedelta(seconds=10)
INDEX = """
    CREATE INDEX IF NOT EXISTS oldest_due ON messaging_delivery (due_at)
    WHERE status = 'pending' AND delivered_at IS NULL
"""
"""The shop's own indexes begin with the subscriber."""


class HandlerFailed(Exception):
    """A handler raised an exception: the delivery is to be tried again."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(str(delivery))
        self.delivery = delivery


def main() -> None:
    gc.freeze()  # as the shop's workers do
    for _ in range(int(sys.argv[1])):
        _start()
    print("ready", flush=True)  # noqa: T201
    while True:
        os.wait()
        _start()


def deliver_next() -> bool:
    """Deliver the oldest due message to one subscriber, and return whether there was one."""
    try:
        return _deliver_next()
    except HandlerFailed as failed:
        _postpone(failed.delivery, retry_delay(failed.delivery.attempts + 1))
        return True


def _start() -> None:
    if os.fork() == 0:
        _run()


def _run() -> NoReturn:
    never = threading.Event()
    with wakeup.open_waiter() as waiter:
        while True:
            if not deliver_next():
                with waiter.subscribed():
                    if not deliver_next():  # published just before it subscribed
                        waiter.wait(never, wakeup.POLL_SECONDS)


def _deliver_next() -> bool:
    with transaction.atomic():
        delivery = _lock_next()
        if not delivery:
            return False
        if single.is_transactional(delivery.subscriber):
            _react(delivery)
            return True
        _postpone(delivery, CLAIM)
    _react(delivery)
    return True


def _lock_next() -> Delivery | None:
    due = Delivery.objects.due(timezone.now()).select_related("message").order_by("due_at")
    return due.select_for_update(of=("self",), skip_locked=True).first()


def _react(delivery: Delivery) -> None:
    row = delivery.message
    message = single.Message(
        message_id=row.pk,
        type=row.type,
        version=row.version,
        key=row.key,
        payload=row.payload,
        published_at=row.published_at,
        correlation_id=row.correlation_id,
        causation_id=row.causation_id,
        traceparent=row.traceparent,
    )
    try:
        single.react(delivery.subscriber, message)
    except Exception as error:
        raise HandlerFailed(delivery) from error
    end = {"status": Delivery.Status.DELIVERED, "delivered_at": timezone.now()}
    Delivery.objects.filter(pk=delivery.pk).update(**end)


def _postpone(delivery: Delivery, wait: timedelta) -> None:
    later = {"due_at": timezone.now() + wait, "attempts": F("attempts") + 1}
    Delivery.objects.filter(pk=delivery.pk).update(**later)


if __name__ == "__main__":
    main()
