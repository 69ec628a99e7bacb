"""
Money: captures, refunds, order totals and the gateway's statement.

O8 compares captures and refunds with the gateway's statement; the other checks compare tables of the shop.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Count, F, Q, Sum

from messaging.claims import lease
from orders.models import Order, OrderRefund
from payments.differences import RECONCILED_WITHIN, REPAIRABLE, DifferenceKind, compare, statement
from payments.gateway.protocol import NoStatement, StatementEntry, TimedOut, Unreachable
from payments.models import Capture, Refund

from .checks import Check, Finding, awaiting_delivery, retained_since
from .orders import SOLD

REFUND_DEADLINE = timedelta(days=2)
"""Longer than the relay retries while the gateway does not answer."""

STATEMENT = "O8"
"""The check that reads the gateway's statement."""
STATEMENT_RULE = "the gateway's statement and our payments agree, both ways"

captures = Capture.objects.all()
kept_captures = captures.filter(surplus=False)
refunded = Refund.objects.filter(status=Refund.Status.SUCCEEDED)
sold = Order.objects.filter(status__in=SOLD)


def one_capture_each(now: datetime) -> Finding:
    """
    Find orders with more than one capture that is kept or not fully refunded.
    """
    staying = Q(surplus=False) | Q(returned__lt=F("amount"))
    of_an_order = captures.filter(staying).values("intent__order_id").annotate(captures=Count("pk"))
    return Finding(captures.count(), of_an_order.filter(captures__gt=1).values_list("intent__order_id", flat=True))


def captures_belong_to_sold_orders(now: datetime) -> Finding:
    returning = Q(refunds__status=Refund.Status.SUCCEEDED)
    returning |= Q(refunds__status__in=Refund.OPEN, refunds__requested_at__gte=now - REFUND_DEADLINE)
    back = captures.values("pk", "amount", "intent__order_id").annotate(back=Sum("refunds__amount", filter=returning))
    given_back = back.filter(back__gte=F("amount")).values("pk")
    staying = captures.exclude(pk__in=given_back)
    undecided = awaiting_delivery("orders.confirm_order", "payments.stop_payment")
    rightful = Q(surplus=False, intent__order_id__in=sold.values("pk")) | Q(intent__order_id__in=undecided)
    return Finding(captures.count(), set(staying.exclude(rightful).values_list("intent__order_id", flat=True)))


def sold_orders_are_captured(now: datetime) -> Finding:
    due = sold.filter(total__gt=0).values_list("pk", "total", "currency")
    unpaid = due.difference(kept_captures.values_list("intent__order_id", "amount", "currency"))
    return Finding(sold.count(), {order_id for order_id, *_ in unpaid})


def books_balance(now: datetime) -> Finding:
    unfinished = awaiting_delivery(
        "orders.confirm_order", "payments.stop_payment", "payments.send_refund", "orders.record_refund"
    )
    total, in_progress = _balance(), _balance(order__in=unfinished)
    currencies = sorted(total.keys() | in_progress.keys())
    return Finding(captures.count(), [currency for currency in currencies if total[currency] != in_progress[currency]])


def returned_amounts_add_up(now: datetime) -> Finding:
    refunding = Sum("refunds__amount", filter=~Q(refunds__status=Refund.Status.FAILED), default=0)
    miscounted = captures.values("pk", "returned").annotate(refunding=refunding).exclude(returned=F("refunding"))
    return Finding(captures.count(), miscounted.values_list("pk", flat=True))


def refunds_are_recorded_with_their_orders(now: datetime) -> Finding:
    """
    Find orders that lack a refund of the retention period, or have one that payments did not make.
    """
    made = refunded.values_list("capture__intent__order_id", "pk", "amount", "capture__currency", "capture__surplus")
    recorded = OrderRefund.objects.values_list("order_id", "pk", "amount", "currency", "surplus")
    unfinished = awaiting_delivery("orders.record_refund")
    due = made.filter(settled_at__gte=retained_since(now)).exclude(capture__intent__order_id__in=unfinished)
    wrong = (due.difference(recorded), recorded.difference(made))
    return Finding(Order.objects.count(), {order_id for rows in wrong for order_id, *_ in rows})


def checks_of_the_gateway(now: datetime) -> list[Check]:
    """
    Return the check that compares our payments with the gateway's statement, which is read now; none without statement.
    """
    try:
        examine = partial(statement_agrees, statement(None))
    except NoStatement:
        return []
    except (TimedOut, Unreachable) as error:
        examine = partial(_unknown, f"the gateway's statement could not be read: {error}")
    return [Check(STATEMENT, STATEMENT_RULE, examine)]


def statement_agrees(entries: Sequence[StatementEntry], now: datetime) -> Finding:
    """
    Find differences, except recent ones: the hourly reconciliation repairs some, and a worker may just be recording a
    payment that is newer than the statement.
    """
    differences = compare(entries, since=None, before=now)
    allowed = {kind: RECONCILED_WITHIN if kind in REPAIRABLE else lease() for kind in DifferenceKind}
    late = [difference for difference in differences if difference.happened_at < now - allowed[difference.kind]]
    names = {f"{difference.kind} {difference.reference}" for difference in late}
    return Finding(len(entries) + captures.count(), sorted(names))


def _unknown(reason: str, now: datetime) -> Finding:
    return Finding(0, [], reason)


def _balance(**conditions: object) -> Counter[str]:
    """
    Return, by currency in minor units, captured − refunded − what sold orders keep.
    """
    balance: Counter[str] = Counter()
    for rows, currency, amount in (
        (captures.alias(order=F("intent__order_id")), "currency", F("amount")),
        (refunded.alias(order=F("capture__intent__order_id")), "capture__currency", -F("amount")),
        (sold.alias(order=F("pk")), "currency", F("refunded") - F("total")),
    ):
        balance.update(dict(rows.filter(**conditions).values_list(currency).annotate(sum=Sum(amount))))
    return balance


CHECKS = [
    Check("O4", "an order has at most one capture that is not refunded", one_capture_each),
    Check("O5", "every capture belongs to a confirmed order or is being refunded", captures_belong_to_sold_orders),
    Check("O6", "a confirmed order's total and currency are those of its capture", sold_orders_are_captured),
    Check("O7", "captured − refunded = confirmed, in every currency", books_balance, about=""),
    Check(
        "O11",
        "a capture's returned amount is the sum of its refunds that did not fail",
        returned_amounts_add_up,
        about="payments_capture",
    ),
    Check("O12", "an order's refunds are those of its captures that succeeded", refunds_are_recorded_with_their_orders),
]
