"""Customers who place orders all the time, and an operator who refunds some of them."""

import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

from messaging.models import Delivery
from orders import placing, services
from orders.models import Order
from payments import refunds
from payments.models import Refund
from tests.factories import make_draft, make_stock

IN_STOCK = ("RED-CHAIR", "BLUE-SOFA", "OAK-TABLE")
SOLD_OUT = "GOLD-LAMP"
OUT_OF_STOCK = ("cancelled", "out_of_stock")
ENDS = {
    "tok_visa": ("confirmed", ""),
    "tok_declined": ("cancelled", "payment_failed"),
    "tok_timeout": ("confirmed", ""),
    "tok_pending": ("cancelled", "expired"),
}
PACE_SECONDS = 0.1
RECENT = 100
"""The customer cancels one of so many of the latest orders."""


class Basket(NamedTuple):
    quantities: Mapping[str, int]
    """By SKU."""
    token: str
    """The payment method."""


class Customer(ABC):
    """
    Places orders for one to three products, and cancels some of them later.

    :param tokens: the payment methods to choose from.
    """

    def __init__(self, rng: random.Random, tokens: Sequence[str], *, cancel_share: float = 0) -> None:
        self.rng, self.tokens, self.cancel_share = rng, tokens, cancel_share
        self.placed: dict[str, str] = {}
        """The token of each order, by its id; empty if the order asks for a product that is sold out."""
        self.cancelled: set[str] = set()

    @abstractmethod
    def place(self, baskets: Sequence[Basket]) -> list[str]:
        """Place these orders at once, and return their ids."""

    @abstractmethod
    def cancel(self, order_id: str) -> bool:
        """Cancel an order, and return whether it was not too late."""

    @abstractmethod
    def is_served(self, order_ids: Sequence[str]) -> bool:
        """Return whether the payment of one of these orders succeeded or was declined."""

    @property
    def expected(self) -> dict[str, tuple[str, str]]:
        """The status and the reason with which each order must end if the token alone decides, by the order's id."""
        return {order_id: ENDS[token] if token else OUT_OF_STOCK for order_id, token in self.placed.items()}

    def order(self, count: int = 1, *, token: str = "") -> list[str]:
        """
        Place so many orders at once, with any token, or with this one and for products in stock. Return their ids.
        """
        baskets = [self._basket(token) for _ in range(count)]
        placed = self.place(baskets)
        for order_id, basket in zip(placed, baskets, strict=True):
            self.placed[order_id] = "" if SOLD_OUT in basket.quantities else basket.token
        for _ in range(sum(self.rng.random() < self.cancel_share for _ in placed)):
            order_id = self.rng.choice(list(self.placed)[-RECENT:])
            if self.cancel(order_id):
                self.cancelled.add(order_id)
        return placed

    def order_until(self, end: float) -> list[str]:
        """
        Place one order after the other until this moment of the monotonic clock, one at least, and return their ids.
        """
        placed = self.order()
        time.sleep(PACE_SECONDS)
        while time.monotonic() < end:
            placed += self.order()
            time.sleep(PACE_SECONDS)
        return placed

    def _basket(self, token: str) -> Basket:
        adds_sold_out = not token and self.rng.random() < 0.05
        skus = self.rng.sample(IN_STOCK, self.rng.randint(1, 3)) + [SOLD_OUT] * adds_sold_out
        quantities = {sku: self.rng.randint(1, 5) for sku in skus}
        return Basket(quantities, token or self.rng.choice(self.tokens))


class LocalCustomer(Customer):
    """Orders in this process, of a shop with the database of the test, which gets products and stock."""

    def __init__(self, rng: random.Random, tokens: Sequence[str], *, cancel_share: float = 0) -> None:
        super().__init__(rng, tokens, cancel_share=cancel_share)
        for sku in IN_STOCK:
            make_stock(1_000_000, sku=sku)
        make_stock(0, sku=SOLD_OUT)

    def place(self, baskets: Sequence[Basket]) -> list[str]:
        drafts = [make_draft(basket.quantities, payment_method=basket.token) for basket in baskets]
        return [str(result.order.pk) for result in placing.place_orders(drafts, now=timezone.now())]

    def cancel(self, order_id: str) -> bool:
        with suppress(services.CannotCancel):
            services.cancel_order(order_id, reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
            return True
        return False

    def is_served(self, order_ids: Sequence[str]) -> bool:
        served = Q(status=Order.Status.CONFIRMED) | Q(cancel_reason=Order.CancelReason.PAYMENT_FAILED)
        return Order.objects.filter(served, pk__in=order_ids).exists()


class Operator:
    """
    Refunds some orders, repeats refused refunds, and replays dead letters.

    :param refund_share: the share of confirmed orders to refund, in part or completely.
    """

    def __init__(self, rng: random.Random, *, refund_share: float) -> None:
        self.rng, self.refund_share = rng, refund_share
        self.granted: Counter[str] = Counter()
        """Minor units of refunds, by order id; each of them must be refunded in the end."""
        self._considered: set[object] = set()
        self._repeated: set[object] = set()

    @property
    def repeated_refunds(self) -> int:
        return len(self._repeated)

    def work(self) -> int:
        """Consider every order and refusal that is new, and return how many they were."""
        confirmed = Order.objects.filter(status=Order.Status.CONFIRMED).values_list("pk", "total")
        new = [(order_id, total) for order_id, total in confirmed if order_id not in self._considered]
        refused = Refund.objects.filter(status=Refund.Status.FAILED).select_related("capture__intent")
        newly_refused = [refund for refund in refused if refund.pk not in self._repeated]
        for order_id, total in new:
            self._considered.add(order_id)
            if self.rng.random() < self.refund_share:
                self._refund(str(order_id), total)
        for refund in newly_refused:
            self._repeat(refund)
        return len(new) + len(newly_refused)

    def replay(self, error: str) -> int:
        """Replay the dead letters with this error, and return how many they were."""
        return Delivery.objects.matching(error=error).replay(timezone.now())

    def _refund(self, order_id: str, total: int) -> None:
        amount = None if self.rng.random() < 0.5 else self.rng.randint(1, total)
        refunds.refund(order_id, amount=amount, reason="returned", now=timezone.now())
        self.granted[order_id] += amount or total

    def _repeat(self, refused: Refund) -> None:
        self._repeated.add(refused.pk)
        amount = None if refused.capture.surplus else refused.amount
        order_id = str(refused.capture.intent.order_id)
        refunds.refund(order_id, amount=amount, reason=refused.reason, now=timezone.now())
