"""The figures, each measured while a cluster runs."""

import json
import random
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from statistics import median

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from messaging.models import Delivery
from messaging.outbox import publish
from orders import placing
from orders.drafts import Draft, DraftLine
from orders.models import Order, OrderLine
from tests.waiting import eventually

from .handlers import ARRIVALS, FOLDER, Ping
from .load import percentiles
from .products import SKUS
from .usage import cpu_of
from .work import count_work, require_work, wait_until_delivered

SEED = 20261123


def place(number: int) -> None:
    """Place so many orders of one to three lines, 200 a transaction."""
    rng = random.Random(SEED + Order.objects.count())
    customer, _ = get_user_model().objects.get_or_create(username="bench")
    for placed in range(0, number, 200):
        drafts = [_draft(customer.pk, rng) for _ in range(min(200, number - placed))]
        placing.place_orders(drafts, now=timezone.now())


def grow(size: int) -> None:
    """Place orders until there are so many, and vacuum the database as its autovacuum would over time."""
    place(max(0, size - Order.objects.count()))
    wait_until_delivered()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "PRAGMA optimize")


def throughput(orders: int = 1_000, rounds: int = 5) -> dict[str, float]:
    """Orders per second, from the first one placed to the last delivery of all of them: the median of some rounds."""
    before, rates, deliveries = count_work(), [], Delivery.objects.filter(status="delivered").count()
    began = time.perf_counter()
    for _ in range(rounds):
        start = time.perf_counter()
        place(orders)
        wait_until_delivered()
        rates.append(orders / (time.perf_counter() - start))
    seconds = time.perf_counter() - began
    require_work(before, count_work(), orders=orders * rounds)
    delivered = Delivery.objects.filter(status="delivered").count() - deliveries
    return {"orders/s": median(rates), "deliveries/s": delivered / seconds}


def order_log(path: Path) -> dict[str, float]:
    """Order lines per second of a real retailer's log, from reading the file to the last delivery."""
    start = time.perf_counter()
    options = ["--create-products", "--opening-stock=1000000", f"--rejects={FOLDER / 'rejects.csv'}"]
    call_command("import_orders", str(path), *options, "--json", stdout=(output := StringIO()))
    wait_until_delivered()
    seconds = time.perf_counter() - start
    lines, report = OrderLine.objects.filter(order__customer__username="order-feed"), json.loads(output.getvalue())
    confirmed = lines.filter(order__status="confirmed").count()
    assert lines.count() == confirmed == report["lines"], f"{confirmed} lines are of confirmed orders: {report}"
    return {"lines": confirmed, "lines/s": confirmed / seconds}


def commit_to_handler(pings: int = 200) -> dict[str, float]:
    """Milliseconds from the return of a commit to the start of its handler, each time on an idle system."""
    ARRIVALS.write_text("")
    committed = {}
    for number in range(pings):
        time.sleep(random.uniform(0.03, 0.08))
        with transaction.atomic():
            publish(Ping(number))
        committed[number] = time.time()
    wait_until_delivered()
    arrived = dict(map(float, line.split()) for line in ARRIVALS.read_text().splitlines())
    return percentiles([(arrived[number] - committed[number]) * 1000 for number in committed])


def place_to_confirmed(orders: int = 50) -> dict[str, float]:
    """Milliseconds from placing an order to its confirmation, each time on an idle system."""
    customer, _ = get_user_model().objects.get_or_create(username="bench")
    spans = []
    for _ in range(orders):
        wait_until_delivered()
        time.sleep(random.uniform(0.03, 0.08))
        start = time.perf_counter()
        draft = _draft(customer.pk, random)
        order = placing.place_order(draft, now=timezone.now(), base_url="http://shop.example").order
        eventually(Order.objects.filter(pk=order.pk, status="confirmed").exists, every=0.001)
        spans.append((time.perf_counter() - start) * 1000)
    return percentiles(spans)


def idle_cpu(workers: Sequence[int], seconds: float = 8) -> dict[str, float]:
    """Per cent of one core that an idle worker uses."""
    wait_until_delivered()
    before = [cpu_of(pid).total for pid in workers]
    time.sleep(seconds)
    used = [cpu_of(pid).total - start for pid, start in zip(workers, before, strict=True)]
    return {"% of a core": 100 * max(used) / seconds}


def _draft(customer: int, rng: random.Random) -> Draft:
    skus = rng.sample(SKUS, rng.randint(1, 3))
    lines = [DraftLine(sku=sku, quantity=1) for sku in skus]
    return Draft(customer_id=customer, lines=lines, payment_method="tok_visa", email="bench@example.com")
