"""
A customer who never stops ordering, and a saboteur of the processes that serve her.
"""

import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from django.db.models import Q
from django.utils import timezone

from messaging.models import Delivery
from orders import placing
from orders.drafts import Draft
from orders.models import Order
from tests.concurrency.cluster import LEASE_SECONDS, LIMIT_SECONDS, PATIENCE_SECONDS, Cluster, eventually
from tests.factories import make_draft, make_stock

IN_STOCK = ("RED-CHAIR", "BLUE-SOFA", "OAK-TABLE")
SOLD_OUT = "GOLD-LAMP"
ENDS = {
    "tok_visa": ("confirmed", ""),
    "tok_declined": ("cancelled", "payment_failed"),
    "tok_timeout": ("confirmed", ""),
    "tok_pending": ("cancelled", "expired"),
}
BURST = 40
PACE_SECONDS = 0.02
ORPHANED_SECONDS = LIMIT_SECONDS + 2
"""An orphan may finish the batch in hand, and looks for its parent only now and then."""


class Customer:
    """
    Order one to three products at a time, and remember how each order must end.
    """

    def __init__(self, dice: random.Random, tokens: Sequence[str]) -> None:
        self.dice, self.tokens = dice, tokens
        self.expected: dict[str, tuple[str, str]] = {}
        for sku in IN_STOCK:
            make_stock(1_000_000, sku=sku)
        make_stock(0, sku=SOLD_OUT)

    def order(self, count: int = 1, *, token: str = "") -> list[str]:
        """
        Place so many orders at once, paid with this token or any, and return their ids.
        """
        drafts = [self._draft(token or self.dice.choice(self.tokens)) for _ in range(count)]
        placed = [placement.order for placement in placing.place_orders(drafts, now=timezone.now())]
        for order, draft in zip(placed, drafts, strict=True):
            sold_out = any(line.sku == SOLD_OUT for line in draft.lines)
            self.expected[str(order.pk)] = ("cancelled", "out_of_stock") if sold_out else ENDS[draft.payment_method]
        return [str(order.pk) for order in placed]

    def is_served(self, order_id: str) -> bool:
        """
        Tell whether the order met its end.
        """
        return not Order.objects.filter(pk=order_id, status__in=["placed", "awaiting_payment"]).exists()

    def _draft(self, token: str) -> Draft:
        skus = self.dice.sample(IN_STOCK, self.dice.randint(1, 3)) + [SOLD_OUT] * (self.dice.random() < 0.05)
        quantities = {sku: self.dice.randint(1, 5) for sku in skus}
        return make_draft(quantities, payment_method=token)


class Saboteur:
    """
    Do the cluster harm under load, each time another way, and measure how long it then takes to deliver again.
    """

    def __init__(self, cluster: Cluster, customer: Customer, dice: random.Random) -> None:
        self.cluster, self.customer, self.dice = cluster, customer, dice
        self.struck_at = 0.0
        self.thaws: list[threading.Timer] = []
        self.recoveries: dict[str, list[float]] = defaultdict(list)

    def faults(self) -> list[Callable[[], None]]:
        """
        List one of each kind, in a random order.
        """
        faults = [
            self.kill_busy_worker,
            self.kill_idle_worker,
            self.kill_all_workers,
            self.kill_pusher,
            self.kill_monitor,
            self.kill_sentinel,
            self.kill_master,
            self.freeze_worker,
            self.terminate,
        ]
        return self.dice.sample(faults, len(faults))

    def strike(self, fault: Callable[[], None]) -> None:
        """
        Commit one fault while orders come in, and go on ordering until one placed after it is served.
        """
        self.customer.order(BURST)
        fault()
        (after,) = self.customer.order(token="tok_visa")
        while not self.customer.is_served(after):
            assert time.monotonic() - self.struck_at < PATIENCE_SECONDS, f"no delivery after {fault.__name__}"
            self.customer.order()
            time.sleep(PACE_SECONDS)
        self.recoveries[fault.__name__].append(time.monotonic() - self.struck_at)
        eventually(self.cluster.is_complete)
        for coming in self.thaws:
            coming.join()

    def kill_busy_worker(self) -> None:
        self._kill(self.dice.choice(self.cluster.pids("worker")))

    def kill_idle_worker(self) -> None:
        eventually(is_quiet)
        self._kill(self.dice.choice(self.cluster.pids("worker")))

    def kill_all_workers(self) -> None:
        """
        One of them holds the lock of django-q2's queue, which nobody ever gets again: its SIGTERM does not end it now.
        """
        self._kill(*self.cluster.pids("worker"))

    def kill_pusher(self) -> None:
        self._kill(*self.cluster.pids("pusher"))

    def kill_monitor(self) -> None:
        self._kill(*self.cluster.pids("monitor"))

    def kill_sentinel(self) -> None:
        self._kill(*self.cluster.pids("sentinel"))
        eventually(lambda: not self.cluster.pids("worker"), within=ORPHANED_SECONDS)
        self.cluster.restart()

    def kill_master(self) -> None:
        self._kill(self.cluster.master.pid)
        self.cluster.restart()

    def freeze_worker(self) -> None:
        """
        Stop a worker for longer than its lease. On SQLite it may stop in mid-transaction, and then nobody can write.
        """
        pid = self.dice.choice(self.cluster.pids("worker"))
        self.struck_at = time.monotonic()
        freeze(pid)
        self.thaws.append(threading.Timer(LEASE_SECONDS + 1, thaw, [pid]))
        self.thaws[-1].start()

    def terminate(self) -> None:
        self.struck_at = time.monotonic()
        self.cluster.stop()
        self.cluster.start()

    def _kill(self, *pids: int) -> None:
        self.struck_at = time.monotonic()
        kill(*pids)


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def thaw(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def is_quiet() -> bool:
    """
    Tell whether nothing is to be delivered before a later moment that was asked for.
    """
    later = Q(delayed=True, due_at__gt=timezone.now())
    return not Delivery.objects.filter(~later, status=Delivery.Status.PENDING).exists()
