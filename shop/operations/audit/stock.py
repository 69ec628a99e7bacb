"""
The counters of the stock, the promises made of it, and the ledger that explains both.
"""

from collections.abc import Mapping
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum, Window

from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from orders.models import OrderLine

from .checks import Check, Finding, only_in_one


def counters_in_bounds(now: datetime) -> Finding:
    broken = StockItem.objects.filter(Q(reserved__lt=0) | Q(on_hand__lt=F("reserved")))
    return Finding(StockItem.objects.count(), broken.values_list("sku", flat=True))


def promises_add_up(now: datetime) -> Finding:
    return _compare("reserved", _totals(ReservationLine.objects.filter(reservation__status=Reservation.Status.HELD)))


def ledger_adds_up(now: datetime) -> Finding:
    return _compare("on_hand", _totals(StockMovement.objects.all()))


def nothing_oversold(now: datetime) -> Finding:
    balance = Window(Sum("quantity"), partition_by="sku", order_by="id")
    oversold = StockMovement.objects.annotate(balance=balance).filter(balance__lt=0)
    return Finding(StockMovement.objects.count(), set(oversold.values_list("sku", flat=True)))


def all_lines_or_none(now: datetime) -> Finding:
    lines = ReservationLine.objects.filter(reservation=OuterRef("pk"))
    promised = Reservation.objects.filter(~Q(status=Reservation.Status.RELEASED) | Exists(lines))
    ordered = OrderLine.objects.filter(order__in=promised.values("order_id"))
    ordered_quantities = ordered.values_list("order_id", "sku").annotate(Sum("quantity"))
    promised_quantities = ReservationLine.objects.values_list("reservation__order_id", "sku", "quantity")
    return Finding(Reservation.objects.count(), only_in_one(ordered_quantities, promised_quantities))


def one_movement_each(now: datetime) -> Finding:
    committed = ReservationLine.objects.filter(reservation__status=Reservation.Status.COMMITTED)
    shipped = StockMovement.objects.filter(kind=StockMovement.Kind.SHIPPED)
    promised_to_leave = committed.values_list("reservation__order_id", "sku", F("quantity") * -1)
    left = shipped.values_list("order_id", "sku").annotate(Sum("quantity"))
    return Finding(Reservation.objects.count(), only_in_one(promised_to_leave, left))


def _totals(rows: QuerySet) -> dict[str, int]:
    return dict(rows.values_list("sku").annotate(Sum("quantity")))


def _compare(counter: str, totals: Mapping[str, int]) -> Finding:
    counters = dict(StockItem.objects.values_list("sku", counter))
    skus = sorted(counters.keys() | totals.keys())
    return Finding(len(counters), [sku for sku in skus if counters.get(sku, 0) != totals.get(sku, 0)])


CHECKS = [
    Check("S1", "of every sku, on hand ≥ reserved ≥ 0", counters_in_bounds),
    Check("S2", "what is reserved is the sum of the held reservations", promises_add_up),
    Check("S3", "what is on hand is the sum of the stock ledger", ledger_adds_up),
    Check("S4", "no more ever left than had come in", nothing_oversold),
    Check("S5", "an order is promised all of its lines or none", all_lines_or_none),
    Check("S6", "what is committed left in one movement, and nothing else was shipped", one_movement_each),
]
