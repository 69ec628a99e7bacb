"""
Money: what was captured, what went back, what the orders say, and what the gateway's own books say.

What O4 to O7 know of money that came, they know from our books. O8 holds those against the gateway's, both ways.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Count, F, Q, Sum

from messaging.claims import lease
from orders.models import Order
from payments.gateway.protocol import NoStatement, StatementEntry, TimedOut, Unreachable
from payments.models import Capture, Refund
from payments.reconciliation import REPAIRABLE, Kind, compare, statement

from .checks import Check, Finding, under_way
from .orders import SOLD

REFUND_DEADLINE = timedelta(days=2)
"""Longer than the relay goes on asking a gateway that does not answer."""

RECONCILED_WITHIN = timedelta(hours=2)

captures = Capture.objects.all()
kept = captures.filter(surplus=False)
refunded = Refund.objects.filter(status=Refund.Status.SUCCEEDED)
sold = Order.objects.filter(status__in=SOLD)


def one_capture_each(now: datetime) -> Finding:
    """
    Find orders for which more than one capture is kept, or is there and not on its way back.
    """
    staying = Q(surplus=False) | Q(returned__lt=F("amount"))
    of_an_order = captures.filter(staying).values("intent__order_id").annotate(captures=Count("pk"))
    return Finding(captures.count(), of_an_order.filter(captures__gt=1).values_list("intent__order_id", flat=True))


def captured_is_wanted(now: datetime) -> Finding:
    returning = Q(refunds__status=Refund.Status.SUCCEEDED)
    returning |= Q(refunds__status__in=Refund.OPEN, refunds__requested_at__gte=now - REFUND_DEADLINE)
    back = captures.values("pk", "amount", "intent__order_id").annotate(back=Sum("refunds__amount", filter=returning))
    given_back = back.filter(back__gte=F("amount")).values("pk")
    staying = captures.exclude(pk__in=given_back)
    deciding = under_way("orders.confirm_order", "payments.stop_payment")
    wanted = Q(surplus=False, intent__order_id__in=sold.values("pk")) | Q(intent__order_id__in=deciding)
    return Finding(captures.count(), set(staying.exclude(wanted).values_list("intent__order_id", flat=True)))


def sold_is_captured(now: datetime) -> Finding:
    asked = sold.filter(total__gt=0).values_list("pk", "total", "currency")
    unpaid = asked.difference(kept.values_list("intent__order_id", "amount", "currency"))
    return Finding(sold.count(), {order_id for order_id, *_ in unpaid})


def books_balance(now: datetime) -> Finding:
    moving = under_way("orders.confirm_order", "payments.stop_payment", "payments.send_refund", "orders.record_refund")
    whole, on_its_way = _balance(), _balance(order__in=moving)
    currencies = sorted(whole.keys() | on_its_way.keys())
    return Finding(captures.count(), [currency for currency in currencies if whole[currency] != on_its_way[currency]])


def returned_is_counted(now: datetime) -> Finding:
    going = Sum("refunds__amount", filter=~Q(refunds__status=Refund.Status.FAILED), default=0)
    miscounted = captures.values("pk", "returned").annotate(going=going).exclude(returned=F("going"))
    return Finding(captures.count(), miscounted.values_list("pk", flat=True))


def checks_of_the_gateway(now: datetime) -> list[Check]:
    """
    Read the gateway's books, and make the check that holds ours against them; none, if it keeps none.
    """
    try:
        examine = partial(gateway_agrees, statement(None))
    except NoStatement:
        return []
    except (TimedOut, Unreachable):
        examine = _nothing_to_look_at
    return [Check("O8", "the gateway's books and ours agree, both ways", examine)]


def gateway_agrees(bookings: Sequence[StatementEntry], now: datetime) -> Finding:
    """
    Find what differs, except for news that is on its way: an hourly reconciliation brings it, if nothing else does. And
    a worker may be booking what came after the gateway's books were read.
    """
    differences = compare(bookings, since=None, before=now)
    allowed = {kind: RECONCILED_WITHIN if kind in REPAIRABLE else lease() for kind in Kind}
    late = [it for it in differences if it.happened_at < now - allowed[it.kind]]
    return Finding(len(bookings) + captures.count(), sorted({f"{it.kind} {it.reference}" for it in late}))


def _nothing_to_look_at(now: datetime) -> Finding:
    return Finding(0, [])


def _balance(**among: object) -> Counter[str]:
    """
    Add up, by currency, what was captured, less what was refunded, less what confirmed orders keep.
    """
    balance: Counter[str] = Counter()
    for rows, currency, amount in (
        (captures.alias(order=F("intent__order_id")), "currency", F("amount")),
        (refunded.alias(order=F("capture__intent__order_id")), "capture__currency", -F("amount")),
        (sold.alias(order=F("pk")), "currency", F("refunded") - F("total")),
    ):
        balance.update(dict(rows.filter(**among).values_list(currency).annotate(sum=Sum(amount))))
    return balance


CHECKS = [
    Check("O4", "at most one capture per order stays", one_capture_each),
    Check("O5", "what is captured belongs to a confirmed order, or is on its way back", captured_is_wanted),
    Check("O6", "a confirmed order's total is what was captured, in its currency", sold_is_captured),
    Check("O7", "captured − refunded = confirmed, in every currency", books_balance),
    Check("O11", "of each capture, what went back or is on its way is counted on it", returned_is_counted),
]
