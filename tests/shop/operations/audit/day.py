"""
A shop with orders in every state, which the audit's tests examine.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from messaging import relay
from orders.models import Order
from orders.services import cancel_order
from payments.refunds import refund
from shop.operations import audit
from tests.factories import make_stock, place_order

HOUR = timedelta(hours=1)


def violated(*, after: timedelta = timedelta()) -> list[str]:
    return audit.run(now=timezone.now() + after).violated


def cancel(order: Order) -> None:
    cancel_order(str(order.pk), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())


def give_back(order: Order, amount: int) -> None:
    refund(str(order.pk), amount=amount, reason="a scratch", now=timezone.now())


@dataclass
class Day:
    """
    Orders after a day: two confirmed, the first of them partly refunded; one out of stock, one declined, one unpaid.
    """

    ada: Order
    bob: Order
    sold_out: Order
    declined: Order
    waiting: Order


def live_a_day() -> Day:
    """
    Place the orders and deliver every message.
    """
    make_stock(10)
    make_stock(1, sku="OAK-TABLE")
    day = Day(
        ada=place_order({"RED-CHAIR": 2}),
        bob=place_order(),
        sold_out=place_order({"OAK-TABLE": 2}),
        declined=place_order(payment_method="tok_declined"),
        waiting=place_order(payment_method="tok_pending"),
    )
    relay.drain()
    give_back(day.ada, 1_000)
    relay.drain()
    return day
