"""The takeover from a killed worker."""

import random
import time
from collections.abc import Sequence
from typing import NamedTuple

from django.utils import timezone

from messaging.claims import claims_of
from messaging.models import Delivery, Worker
from tests.processes import freeze, kill, thaw
from tests.waiting import eventually

from .figures import place
from .work import wait_until_delivered


class Claims(NamedTuple):
    process: int
    deliveries: Sequence[int]


def takeover(workers: Sequence[int], orders: int = 2_000) -> dict[str, float]:
    """Seconds from `kill -9` of a busy worker until others claim, then deliver what it had claimed, and everything."""
    place(orders)
    claimed = _freeze_a_busy_worker(workers)
    pending = Delivery.objects.filter(pk__in=claimed.deliveries, status="pending")
    killed_at = kill(claimed.process)
    eventually(pending.filter(suspect=True).exists)
    first_claimed_at = time.monotonic()
    eventually(lambda: not pending.exists())
    delivered_at = time.monotonic()
    wait_until_delivered()
    return {
        "claimed deliveries": len(claimed.deliveries),
        "s until the first was claimed again": first_claimed_at - killed_at,
        "s until they were delivered": delivered_at - killed_at,
        "s until everything was delivered": time.monotonic() - killed_at,
    }


def _freeze_a_busy_worker(workers: Sequence[int]) -> Claims:
    """Freeze a worker at a moment at which it has claims, and return these."""
    while True:
        for process in workers:
            time.sleep(random.uniform(0, 0.1))
            freeze(process)
            number = Worker.objects.get(process=process).number
            if deliveries := list(claims_of(number, timezone.now()).values_list("pk", flat=True)):
                return Claims(process, deliveries)
            thaw(process)
