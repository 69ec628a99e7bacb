"""
Stock: its counters, reservations and ledger agree.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum, Window

from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from orders.models import OrderLine

from .checks import Check, Finding, only_in_one


def counters_in_bounds(now: datetime) -> Finding:
    broken = StockItem.objects.filter(Q(reserved__lt=0) | Q(on_hand__lt=F("reserved")))
    return Finding(StockItem.objects.count(), broken.values_list("sku", flat=True))


def reservations_add_up(now: datetime) -> Finding:
    return _compare("reserved", _totals(ReservationLine.objects.filter(reservation__status=Reservation.Status.HELD)))


def ledger_adds_up(now: datetime) -> Finding:
    return _compare("on_hand", _totals(StockMovement.objects.all()))


def nothing_is_oversold(now: datetime) -> Finding:
    balance = Window(Sum("quantity"), partition_by="sku", order_by="id")
    oversold = StockMovement.objects.annotate(balance=balance).filter(balance__lt=0)
    return Finding(StockMovement.objects.count(), set(oversold.values_list("sku", flat=True)))


def all_lines_or_none(now: datetime) -> Finding:
    lines = ReservationLine.objects.filter(reservation=OuterRef("pk"))
    reservations = Reservation.objects.filter(~Q(status=Reservation.Status.RELEASED) | Exists(lines))
    ordered = OrderLine.objects.filter(order__in=reservations.values("order_id"))
    ordered_quantities = ordered.values_list("order_id", "sku").annotate(Sum("quantity"))
    reserved_quantities = ReservationLine.objects.values_list("reservation__order_id", "sku", "quantity")
    return Finding(Reservation.objects.count(), only_in_one(ordered_quantities, reserved_quantities))


def one_movement_each(now: datetime) -> Finding:
    committed = ReservationLine.objects.filter(reservation__status=Reservation.Status.COMMITTED)
    shipped = StockMovement.objects.filter(kind=StockMovement.MovementKind.SHIPPED)
    committed_quantities = committed.values_list("reservation__order_id", "sku", F("quantity") * -1)
    shipped_quantities = shipped.values_list("order_id", "sku").annotate(Sum("quantity"))
    return Finding(Reservation.objects.count(), only_in_one(committed_quantities, shipped_quantities))


def _totals(rows: QuerySet[Any, Any]) -> dict[str, int]:
    return dict(rows.values_list("sku").annotate(Sum("quantity")))


def _compare(counter: str, totals: Mapping[str, int]) -> Finding:
    counters = dict(StockItem.objects.values_list("sku", counter))
    skus = sorted(counters.keys() | totals.keys())
    return Finding(len(counters), [sku for sku in skus if counters.get(sku, 0) != totals.get(sku, 0)])


ITEM = "inventory_stockitem"

CHECKS = [
    Check("S1", "every SKU has on hand ≥ reserved ≥ 0", counters_in_bounds, ITEM),
    Check("S2", "reserved is the sum of the held reservations", reservations_add_up, ITEM),
    Check("S3", "on hand is the sum of the stock ledger", ledger_adds_up, ITEM),
    Check("S4", "the ledger never falls below zero", nothing_is_oversold, ITEM),
    Check("S5", "a reservation has all lines of its order or none", all_lines_or_none),
    Check("S6", "every committed line was shipped in one movement, and nothing else was shipped", one_movement_each),
]
