"""
A customer who never stops ordering, and an operator who gives money back.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from django.db.models import Q
from django.utils import timezone

from messaging.models import Delivery
from orders import placing, services
from orders.drafts import Draft
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
LATELY = 100
"""Among so many of the latest orders is one whose customer thinks better of it."""


class Customer:
    """
    Order one to three products at a time, and think better of some of it.

    :param tokens: what to pay with.
    :param regrets: the share of orders to cancel at some later moment.
    """

    def __init__(self, dice: random.Random, tokens: Sequence[str], *, regrets: float = 0) -> None:
        self.dice, self.tokens, self.regrets = dice, tokens, regrets
        self.placed: dict[str, str] = {}
        """The token of each order, by its id; empty if it asks for what is not there."""
        self.cancelled: set[str] = set()
        for sku in IN_STOCK:
            make_stock(1_000_000, sku=sku)
        make_stock(0, sku=SOLD_OUT)

    @property
    def expected(self) -> dict[str, tuple[str, str]]:
        """
        Tell how each order must end where the token decides, by its id: status and reason.
        """
        return {order_id: ENDS[token] if token else OUT_OF_STOCK for order_id, token in self.placed.items()}

    def order(self, count: int = 1, *, token: str = "") -> list[str]:
        """
        Place so many orders at once, paid with any token, or with this one and for what is there. Return their ids.
        """
        drafts = [self._draft(token) for _ in range(count)]
        placed = [str(placement.order.pk) for placement in placing.place_orders(drafts, now=timezone.now())]
        for order_id, draft in zip(placed, drafts, strict=True):
            sold_out = any(line.sku == SOLD_OUT for line in draft.lines)
            self.placed[order_id] = "" if sold_out else draft.payment_method
        for _ in range(sum(self.dice.random() < self.regrets for _ in placed)):
            self._cancel(self.dice.choice(list(self.placed)[-LATELY:]))
        return placed

    def order_until(self, end: float) -> list[str]:
        """
        Order one after the other until this moment of the monotonic clock, once at least, and return their ids.
        """
        placed = self.order()
        time.sleep(PACE_SECONDS)
        while time.monotonic() < end:
            placed += self.order()
            time.sleep(PACE_SECONDS)
        return placed

    def is_served(self, order_ids: Sequence[str]) -> bool:
        """
        Tell whether somebody was paid, or refused to pay, for one of these orders.
        """
        served = Q(status=Order.Status.CONFIRMED) | Q(cancel_reason=Order.CancelReason.PAYMENT_FAILED)
        return Order.objects.filter(served, pk__in=order_ids).exists()

    def _cancel(self, order_id: str) -> None:
        with suppress(services.CannotCancel):
            services.cancel_order(order_id, reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
            self.cancelled.add(order_id)

    def _draft(self, token: str) -> Draft:
        asks_too_much = not token and self.dice.random() < 0.05
        skus = self.dice.sample(IN_STOCK, self.dice.randint(1, 3)) + [SOLD_OUT] * asks_too_much
        quantities = {sku: self.dice.randint(1, 5) for sku in skus}
        return make_draft(quantities, payment_method=token or self.dice.choice(self.tokens))


class Operator:
    """
    Take some goods back, and do what the gateway or a dead letter leaves to a person.

    :param takes_back: the share of confirmed orders to refund, in part or as a whole.
    """

    def __init__(self, dice: random.Random, *, takes_back: float) -> None:
        self.dice, self.takes_back = dice, takes_back
        self.granted: Counter[str] = Counter()
        """Minor units of refunds, by order id; each of them must go back in the end."""
        self._asked: set[object] = set()
        self._retried: set[object] = set()

    def work(self) -> int:
        """
        Do what has come up, and tell how much that was.
        """
        confirmed = Order.objects.filter(status=Order.Status.CONFIRMED).values_list("pk", "total")
        new = [(order_id, total) for order_id, total in confirmed if order_id not in self._asked]
        refused = Refund.objects.filter(status=Refund.Status.FAILED).select_related("capture__intent")
        newly_refused = [refund for refund in refused if refund.pk not in self._retried]
        for order_id, total in new:
            self._asked.add(order_id)
            if self.dice.random() < self.takes_back:
                self._grant(str(order_id), total)
        for refund in newly_refused:
            self._retry(refund)
        return len(new) + len(newly_refused)

    def replay(self, error: str) -> int:
        """
        Try dead letters of this kind again, and tell how many they were.
        """
        return Delivery.objects.matching(error=error).replay(timezone.now())

    @property
    def retries(self) -> int:
        return len(self._retried)

    def _grant(self, order_id: str, total: int) -> None:
        amount = None if self.dice.random() < 0.5 else self.dice.randint(1, total)
        refunds.refund(order_id, amount=amount, reason="returned", now=timezone.now())
        self.granted[order_id] += amount or total

    def _retry(self, refused: Refund) -> None:
        self._retried.add(refused.pk)
        amount = None if refused.capture.surplus else refused.amount
        order_id = str(refused.capture.intent.order_id)
        refunds.refund(order_id, amount=amount, reason=refused.reason, now=timezone.now())
