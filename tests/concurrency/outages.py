"""
Harm to what is beside the cluster: the payment gateway, and the web server that it calls back.
"""

import time
from collections.abc import Sequence

from messaging.models import Delivery
from orders.models import Order
from payments.models import PaymentIntent
from tests.concurrency.people import Customer
from tests.concurrency.premises import Shop
from tests.concurrency.saboteur import Harm
from tests.processes import freeze, thaw
from tests.waiting import eventually

OUTAGE_SECONDS = 6


class Outages:
    """
    Have the gateway or the web server fail while orders come in.
    """

    def __init__(self, shop: Shop, customer: Customer, *, burst: int) -> None:
        self.simulator, self.web, self.ledger = shop.simulator, shop.web, shop.ledger
        self.customer, self.burst = customer, burst
        self.met: list[str] = []
        """Orders that were placed while the gateway was down."""

    def harms(self) -> Sequence[Harm]:
        return [self.kill_simulator, self.gateway_down, self.hang_simulator, self.kill_web_server]

    def kill_simulator(self) -> float:
        struck_at = time.monotonic()
        self.simulator.kill()
        self.simulator.start()
        return struck_at

    def gateway_down(self) -> float:
        """
        Leave nobody at the gateway's address for some seconds. Stock is reserved all the same.
        """
        end = time.monotonic() + OUTAGE_SECONDS
        self.simulator.kill()
        met = self.customer.order(self.burst)
        eventually(lambda: not Order.objects.filter(pk__in=met, status=Order.Status.PLACED).exists())
        self.met += met + self.customer.order_until(end)
        self.simulator.start()
        return time.monotonic()

    def hang_simulator(self) -> float:
        """
        Have the gateway take requests and answer none, until some payments are in doubt.
        """
        freeze(self.simulator.pid)
        asked = self.customer.order(self.burst)
        doubtful = PaymentIntent.objects.filter(order_id__in=asked, status=PaymentIntent.Status.UNKNOWN)
        eventually(doubtful.exists)
        thaw(self.simulator.pid)
        return time.monotonic()

    def kill_web_server(self) -> float:
        """
        Leave nobody to call back, until the gateway has tried to for about half of a burst of orders.
        """
        enough = self.ledger.failed_calls() + self.burst // 2
        self.web.kill()
        self.customer.order(self.burst)
        eventually(lambda: self.ledger.failed_calls() >= enough)
        self.web.start()
        return time.monotonic()

    def burnt_attempts(self) -> int:
        """
        Count the payments that an outage alone has cost an attempt.
        """
        asked = Delivery.objects.filter(subscriber="payments.take_payment", suspect=False, attempts__gt=1)
        return asked.filter(key__in=self.met).count()
