"""What becomes of orders whose workers are killed at random moments."""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, QuerySet, Sum

from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from notifications.models import Notification
from orders.models import Order
from payments.models import PaymentIntent
from tests.bench.http_requests import Caller
from tests.bench.shop import requests_to_gateway
from tests.bench.web import place_over_http
from tests.bench.work import MAIL_KINDS
from tests.processes import kill
from tests.programs import MailServer
from tests.smtp_log import MailLog
from tests.waiting import eventually

from .pipelines import Running, ShopWorkers, Workers, running

CONNECTIONS = 8
PAUSES_SECONDS = (0.2, 0.6)
SINGLE_KILLS, GROUP_KILLS = 20, 2
QUIET_SECONDS = 3
RECOVERY_SECONDS = 180

CHARGES = """
    SELECT order_id FROM entries AS charged
    WHERE kind = 'charged' AND EXISTS (
        SELECT 1 FROM entries AS captured WHERE captured.charge = charged.charge AND captured.kind = 'captured'
    )
"""

STEPS = ("stock reserved", "paid", "confirmed", "stock shipped", "mails sent")
Audit = Mapping[str, float]


def survive(plan: Mapping[str, Any], callers: Sequence[Caller], folder: Path) -> Audit:
    """
    Place orders, kill workers meanwhile, wait until no more orders are completed, and return what became of them.

    :param plan: has the pipeline, the number of orders and the seed of the kills.
    """
    rng, mails = random.Random(plan["seed"]), MailServer(folder / "mail_server.log", folder / "mails.log")
    with mails, running(plan["pipeline"], folder, **mails.settings) as pipeline, ThreadPoolExecutor() as pool:
        before = requests_to_gateway(pipeline.shop)
        load = pool.submit(_place, pipeline, callers, plan["orders"])
        eventually(Order.objects.exists)
        kill_at_random(pipeline.workers, rng, one=SINGLE_KILLS, all_=GROUP_KILLS)
        killed_at = time.monotonic()
        load.result()
        _wait_until_quiet(pipeline)
        requests = requests_to_gateway(pipeline.shop) - before
        seconds = time.monotonic() - killed_at
        return {"s from the last kill until nothing changed": seconds} | audit(
            pipeline.shop.ledger, mails.mails, charges=requests["charge"], is_idle=pipeline.is_idle()
        )


def kill_at_random(workers: Workers | ShopWorkers, rng: random.Random, *, one: int, all_: int) -> None:
    """
    Kill workers after random pauses.

    :param one: how often one of them is killed.
    :param all_: how often all of them are, with the process above them. They are started again.
    """
    kills = [_kill_one] * one + [_kill_all] * all_
    rng.shuffle(kills)
    for kill_some in kills:
        time.sleep(rng.uniform(*PAUSES_SECONDS))
        kill_some(workers, rng)


def audit(ledger: Path, mails: MailLog, *, charges: int, is_idle: bool) -> Audit:
    """
    Return how many orders were completed, not completed, and served twice, as the shop's tables, the gateway and the
    mail server know it.

    :param charges: the requests for a charge that the gateway received.
    """
    orders = set(Order.objects.values_list("pk", flat=True))
    done = _done_by_step()
    complete = orders.intersection(*done.values())
    unfinished = len(orders - complete)
    return {
        "orders accepted": len(orders),
        "orders completed": len(complete),
        "orders lost: nothing is queued": unfinished if is_idle else 0,
        "orders stuck: something is queued": 0 if is_idle else unfinished,
        **{f"orders never: {step}": len(orders - done[step]) for step in STEPS},
        "orders charged twice": sum(count > 1 for count in _captures(ledger).values()),
        "products whose stock is wrong": _wrong_stock(),
        "mails sent twice": sum(count > 1 for count in mails.accepted_ids().values()),
        "repeated charge requests, refused by their key": charges - len(orders & done["paid"]),
    }


def _place(pipeline: Running, callers: Sequence[Caller], orders: int) -> None:
    try:
        place_over_http(pipeline.shop.port, callers, orders=orders, connections=CONNECTIONS)
    finally:
        connection.close()


def _kill_one(workers: Workers | ShopWorkers, rng: random.Random) -> None:
    eventually(lambda: supervised(workers).pids())
    with suppress(ProcessLookupError):
        kill(rng.choice(sorted(workers.pids())))


def _kill_all(workers: Workers | ShopWorkers, _: random.Random) -> None:
    workers.kill()
    workers.start()


def supervised(workers: Workers | ShopWorkers) -> Workers | ShopWorkers:
    """Return the workers, started again if they have ended: as systemd does, and as Celery needs it now and then."""
    if workers.status is not None:
        workers.kill()
        workers.start()
    return workers


def _wait_until_quiet(pipeline: Running) -> None:
    """Wait until every order is completed, or nothing is queued for some seconds, or recovery took too long."""
    orders, end, idle_since = Order.objects.count(), time.monotonic() + RECOVERY_SECONDS, 0.0
    while time.monotonic() < end:
        supervised(pipeline.workers)
        is_complete = len(completed()) == orders
        idle_since = (idle_since or time.monotonic()) if pipeline.is_idle() else 0.0
        if idle_since and (is_complete or time.monotonic() - idle_since > QUIET_SECONDS):
            return
        time.sleep(0.2)


def completed() -> set[UUID]:
    """Return the orders of which every step was done."""
    first, *others = _done_by_step().values()
    return first.intersection(*others)


def _done_by_step() -> dict[str, set[UUID]]:
    """Return the orders of which each step was done, in their tables."""
    mails = Notification.objects.filter(kind__in=MAIL_KINDS, status="accepted").values("order_id")
    both = mails.annotate(sent=Count("kind", distinct=True)).filter(sent=len(MAIL_KINDS))
    return {
        "stock reserved": set(Reservation.objects.values_list("order_id", flat=True)),
        "paid": set(PaymentIntent.objects.filter(status="succeeded").values_list("order_id", flat=True)),
        "confirmed": set(Order.objects.filter(status="confirmed").values_list("pk", flat=True)),
        "stock shipped": set(Reservation.objects.filter(status="committed").values_list("order_id", flat=True)),
        "mails sent": set(both.values_list("order_id", flat=True)),
    }


def _captures(ledger: Path) -> Counter[str]:
    """Return how many charges of each order moved money, as the gateway knows it."""
    with closing(sqlite3.connect(ledger, timeout=20)) as entries:
        return Counter(order_id for (order_id,) in entries.execute(CHARGES))


def _wrong_stock() -> int:
    """Return how many products have other stock than their movements and held reservations say."""
    on_hand = _by_sku(StockMovement.objects.all())
    reserved = _by_sku(ReservationLine.objects.filter(reservation__status="held"))
    items = StockItem.objects.values_list("sku", "on_hand", "reserved")
    return sum((have, held) != (on_hand.get(sku, 0), reserved.get(sku, 0)) for sku, have, held in items)


def _by_sku(rows: QuerySet[StockMovement] | QuerySet[ReservationLine]) -> dict[str, int]:
    return dict(rows.values_list("sku").annotate(Sum("quantity")))
