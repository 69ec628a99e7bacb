"""
Long polling of an order, by the preference `wait` of RFC 7240.
"""

import re
import time
from collections.abc import Mapping
from threading import BoundedSemaphore

from django.conf import settings
from django.db.models import Count
from django.utils.http import parse_etags

from .models import Order

WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*([0-9]{1,4})\s*(?:$|[,;])", re.ASCII)
POLL_SECONDS = 0.1

_waiters = BoundedSemaphore(settings.ORDERS.followers)


def wait_for_change(order: Order, headers: Mapping[str, str]) -> dict[str, str]:
    """
    Wait until an open order differs from the client's ETag, if the headers ask for that.

    Each waiter holds a thread of the web process; beyond the limit, requests return immediately.

    :return: headers for the response; none if the request did not wait.
    """
    preference = WAIT.search(headers.get("Prefer", ""))
    etags = parse_etags(headers.get("If-None-Match", ""))
    if not (preference and order.is_open and order.etag in etags and _waiters.acquire(blocking=False)):
        return {}
    seconds = min(int(preference[1]), settings.ORDERS.follow_seconds)
    try:
        _await_change(order, time.monotonic() + seconds)
    finally:
        _waiters.release()
    return {"Preference-Applied": f"wait={seconds}"}


def _await_change(order: Order, deadline: float) -> None:
    same_state = Order.objects.filter(pk=order.pk, status=order.status, refunded=order.refunded)
    unchanged = same_state.annotate(Count("refunds")).filter(refunds__count=len(order.all_refunds))
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        if not unchanged.exists():
            return
