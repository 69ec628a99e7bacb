"""
Orders: their history, totals, deadlines, and the stock that belongs to them.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, F, Q, Sum, Value, Window
from django.db.models.functions import Lag, Lead

from inventory.models import Reservation
from orders.models import HistoryEntry, Order, OrderLine

from .checks import LATE_AFTER, Check, Finding, awaiting_delivery

Status = Order.Status

SOLD = frozenset({Status.CONFIRMED, Status.REFUNDED})
FINAL = SOLD | {Status.CANCELLED}

ENDING = (
    "inventory.reserve_stock",
    "orders.request_payment",
    "orders.cancel_out_of_stock",
    "payments.settle_overdue",
    "orders.confirm_order",
    "orders.cancel_unpaid",
)
"""The subscribers that bring an order past its deadline to its end."""

ALLOWED = Q(previous="", status=Status.PLACED)
for _source, _targets in Order.TRANSITIONS.items():
    ALLOWED |= Q(previous=_source, status__in=_targets)


def history_is_the_status(now: datetime) -> Finding:
    before = Window(Lag("status", default=Value("")), partition_by="order_id", order_by="id")
    after = Window(Lead("status"), partition_by="order_id", order_by="id")
    entries = HistoryEntry.objects.annotate(before=before, after=after)
    wrong = entries.filter(~ALLOWED | ~Q(previous=F("before")) | Q(after=None) & ~Q(status=F("order__status")))
    without_history = Order.objects.filter(history=None)
    violating = {*wrong.values_list("order_id", flat=True), *without_history.values_list("pk", flat=True)}
    return Finding(Order.objects.count(), violating)


def totals_add_up(now: datetime) -> Finding:
    sums = OrderLine.objects.values("order").annotate(sum=Sum(F("quantity") * F("unit_price")))
    wrong = sums.filter(~Q(sum=F("order__total")))
    empty = Order.objects.filter(lines=None)
    violating = {*wrong.values_list("order_id", flat=True), *empty.values_list("pk", flat=True)}
    return Finding(Order.objects.count(), violating)


def stock_follows_the_order(now: datetime) -> Finding:
    held_ids, committed_ids = (
        Reservation.objects.filter(status=status).values_list("order_id")
        for status in (Reservation.Status.HELD, Reservation.Status.COMMITTED)
    )
    sold, entitled, final = (
        Order.objects.filter(status__in=statuses).values_list("pk")
        for statuses in (SOLD, SOLD | {Status.AWAITING_PAYMENT}, FINAL)
    )
    unfinished = awaiting_delivery("inventory.commit_reservation", "inventory.release_stock")
    shipped_unsold = committed_ids.difference(sold)
    sold_without_stock = entitled.difference(held_ids, committed_ids)
    held_after_the_end = held_ids.filter(order_id__in=final).difference(unfinished)
    violating = {order_id for rows in (shipped_unsold, sold_without_stock, held_after_the_end) for (order_id,) in rows}
    return Finding(Order.objects.exclude(status=Status.PLACED).count(), violating)


def one_order_per_key(now: datetime) -> Finding:
    keys = Order.objects.values("customer", "idempotency_key").annotate(orders=Count("pk"))
    return Finding(Order.objects.count(), keys.filter(orders__gt=1).values_list("idempotency_key", flat=True))


def none_past_its_deadline(now: datetime) -> Finding:
    """
    Find orders that are open past their deadline, except those that a delivery will end: it is retried while the
    gateway does not answer or has not decided, which may take hours, and is a dead letter then.
    """
    due = timedelta(seconds=settings.ORDERS.payment_due_seconds)
    late = Q(status=Status.PLACED, at__lt=now - LATE_AFTER)
    late |= Q(status=Status.AWAITING_PAYMENT, at__lt=now - LATE_AFTER - due)
    ending = awaiting_delivery(*ENDING).filter(due_at__lt=now + LATE_AFTER)
    stuck = HistoryEntry.objects.filter(late, status=F("order__status")).exclude(order_id__in=ending)
    return Finding(Order.objects.count(), stuck.values_list("order_id", flat=True))


CHECKS = [
    Check("O1", "an order's history has only allowed transitions and ends at its status", history_is_the_status),
    Check("O2", "an order's total is the sum of price × quantity", totals_add_up),
    Check("O3", "a final order holds no stock, and confirmed ⇔ committed", stock_follows_the_order),
    Check("O9", "one order per customer and idempotency key", one_order_per_key),
    Check("O10", "no order is open past its deadline, unless a delivery will end it", none_past_its_deadline),
]
