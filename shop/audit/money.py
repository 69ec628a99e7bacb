"""
Money: what was captured, what went back, and what the orders say.

The gateway's own ledger is not read: what it and we disagree on (O8, and captures that only it knows of) stays unseen.
"""

from collections import Counter
from datetime import datetime, timedelta

from django.db.models import Count, F, Q, Sum

from orders.models import Order
from payments.models import PaymentIntent, Refund

from .checks import Check, Finding, under_way
from .orders import SOLD

REFUND_DEADLINE = timedelta(days=2)
"""Longer than the relay goes on asking a gateway that does not answer."""

captured = PaymentIntent.objects.filter(status=PaymentIntent.Status.SUCCEEDED)
refunded = Refund.objects.filter(status=Refund.Status.SUCCEEDED)
sold = Order.objects.filter(status__in=SOLD)


def one_capture_each(now: datetime) -> Finding:
    captures = captured.values("order_id").annotate(captures=Count("pk"))
    return Finding(captured.count(), captures.filter(captures__gt=1).values_list("order_id", flat=True))


def captured_is_wanted(now: datetime) -> Finding:
    returning = Q(refunds__status=Refund.Status.SUCCEEDED)
    returning |= Q(refunds__status=Refund.Status.PENDING, refunds__requested_at__gte=now - REFUND_DEADLINE)
    refunds = captured.values("order_id", "amount").annotate(back=Sum("refunds__amount", filter=returning))
    given_back = refunds.filter(back__gte=F("amount"))
    kept = captured.filter(amount__gt=0).values_list("order_id", flat=True)
    deciding = under_way("orders.confirm_order", "payments.stop_payment")
    unwanted = kept.difference(sold.values_list("pk"), deciding, given_back.values_list("order_id"))
    return Finding(captured.count(), unwanted)


def sold_is_captured(now: datetime) -> Finding:
    asked = sold.values_list("pk", "total", "currency")
    unpaid = asked.difference(captured.values_list("order_id", "amount", "currency"))
    return Finding(sold.count(), {order_id for order_id, *_ in unpaid})


def books_balance(now: datetime) -> Finding:
    moving = under_way("orders.confirm_order", "payments.stop_payment", "payments.send_refund", "orders.record_refund")
    whole, on_its_way = _balance(), _balance(order__in=moving)
    currencies = sorted(whole.keys() | on_its_way.keys())
    return Finding(captured.count(), [currency for currency in currencies if whole[currency] != on_its_way[currency]])


def _balance(**among: object) -> Counter[str]:
    """
    Add up, by currency, what was captured, less what was refunded, less what confirmed orders keep.
    """
    balance: Counter[str] = Counter()
    for rows, currency, amount in (
        (captured.alias(order=F("order_id")), "currency", F("amount")),
        (refunded.alias(order=F("intent__order_id")), "intent__currency", -F("amount")),
        (sold.alias(order=F("pk")), "currency", F("refunded") - F("total")),
    ):
        balance.update(dict(rows.filter(**among).values_list(currency).annotate(sum=Sum(amount))))
    return balance


CHECKS = [
    Check("O4", "at most one capture per order", one_capture_each),
    Check("O5", "what is captured belongs to a confirmed order, or is on its way back", captured_is_wanted),
    Check("O6", "a confirmed order's total is what was captured, in its currency", sold_is_captured),
    Check("O7", "captured − refunded = confirmed, in every currency", books_balance),
]
