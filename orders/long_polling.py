"""
Following an order: an answer that waits for news (long polling, by the preference `wait` of RFC 7240).
"""

import re
import time
from collections.abc import Mapping
from threading import BoundedSemaphore

from django.conf import settings
from django.utils.http import parse_etags

from .models import Order

WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*([0-9]{1,4})\s*(?:$|[,;])", re.ASCII)
LOOK_SECONDS = 0.1

_seats = BoundedSemaphore(settings.ORDERS.followers)


def follow(order: Order, headers: Mapping[str, str]) -> dict[str, str]:
    """
    Wait until an open order is in another state than the one its follower knows, if that is what the headers ask for.

    Each who waits occupies a thread of the web server, so only some may at a time; the others are answered at once.

    :return: the headers to answer with; none if nobody waited.
    """
    wished = WAIT.search(headers.get("Prefer", ""))
    known = parse_etags(headers.get("If-None-Match", ""))
    if not (wished and order.is_open and order.etag in known and _seats.acquire(blocking=False)):
        return {}
    seconds = min(int(wished[1]), settings.ORDERS.follow_seconds)
    try:
        _await_change(order, time.monotonic() + seconds)
    finally:
        _seats.release()
    return {"Preference-Applied": f"wait={seconds}"}


def _await_change(order: Order, deadline: float) -> None:
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        if not Order.objects.filter(pk=order.pk, status=order.status, refunded=order.refunded).exists():
            return
