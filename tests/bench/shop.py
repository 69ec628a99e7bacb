"""The whole shop as its customers meet it: from the POST of an order to its mails."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import quantiles
from urllib.request import urlopen

from django.utils import timezone

from orders.models import HistoryEntry

from .http_requests import Caller
from .programs import RunningShop
from .usage import Cpu, Meter
from .web import place_over_http
from .work import count_work, require_work, wait_for_mails

GATEWAY_REQUESTS = ("charge", "look_up")


def place_to_mail(
    shop: RunningShop, callers: Sequence[Caller], *, orders: int, connections: int, per_second: float = 0, **plan: str
) -> dict[str, float]:
    """
    Place so many orders over HTTP, wait for the last of their mails, and return the figures.

    :param plan: further fields of the `LoadPlan`.
    :raises AssertionError: if anything was not done once for each order.
    """
    before, requests, began = count_work(shop.ledger), requests_to_gateway(shop), timezone.now()
    with Meter(shop.roots) as meter:
        load = place_over_http(
            shop.port, callers, orders=orders, connections=connections, per_second=per_second, **plan
        )
        wait_for_mails(before, shop.ledger, orders=orders)
        ended = time.time()
        shop.wait_until_delivered()
    require_work(before, count_work(shop.ledger), orders=orders)
    steps = HistoryEntry.objects.filter(status="confirmed", order__placed_at__gte=began)
    placed, confirmed = zip(*steps.values_list("order__placed_at", "at"), strict=True)
    spans = [(end - start).total_seconds() for start, end in zip(placed, confirmed, strict=True)]
    return {
        "orders/s complete": orders / (ended - load.began),
        "orders/s accepted": load.figures["orders/s"],
        **{f"POST {name}": load.figures[name] for name in ("p50 ms", "p99 ms")},
        "placed to confirmed, p50 s": quantiles(spans, n=100)[49],
        "placed to confirmed, p99 s": quantiles(spans, n=100)[98],
        **_cpu_per_order(meter.used(), orders),
        **_requests_per_order(requests_to_gateway(shop) - requests, orders),
    }


def _cpu_per_order(used: Mapping[str, Cpu], orders: int) -> dict[str, float]:
    milliseconds = {part: cpu.total * 1000 / orders for part, cpu in used.items()}
    total = sum(milliseconds.values()) - milliseconds["simulator"]
    by_part = {f"CPU ms per order: {part}": used for part, used in milliseconds.items()}
    in_system = {f"of which in system calls: {part}": cpu.system * 1000 / orders for part, cpu in used.items()}
    return {"CPU ms per order, without the simulator": total} | by_part | in_system


def _requests_per_order(requests: Counter[str], orders: int) -> dict[str, float]:
    kinds = dict.fromkeys([*GATEWAY_REQUESTS, *requests])
    return {f"gateway requests per order: {kind}": requests[kind] / orders for kind in kinds}


def requests_to_gateway(shop: RunningShop) -> Counter[str]:
    """Return the number of requests to the gateway, by kind, without those of this function."""
    with urlopen(f"{shop.simulator.address}/v1/requests") as response:
        counts = json.load(response)["counts"]
    return Counter({kind: number for kind, number in counts.items() if kind != "requests"})
