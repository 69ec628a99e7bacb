"""
What inventory tells operators of an order: its reservation.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.db.models import Model

from messaging.kernel.admin import to_the_second
from shop.http import order_panels
from shop.http.order_panels import Link, Panel, Part, TimelineEntry

from .models import Reservation, ReservationLine


def register() -> None:
    order_panels.register("inventory", read, permission="inventory.view_reservation")


def read(order_id: UUID, rows: Sequence[Model]) -> Part:
    of_order = ReservationLine.objects.filter(reservation__order_id=order_id)
    lines = list(of_order.select_related("reservation").order_by("id"))
    reservation = lines[0].reservation if lines else Reservation.objects.filter(order_id=order_id).first()
    if not reservation:
        return Part(panels=[Panel(title="Stock", facts=[("Reservation", "none yet")])])
    entries = list(_entries(reservation, lines))
    return Part(panels=[_panel(reservation, lines)], entries=entries, rows=[reservation])


def _entries(reservation: Reservation, lines: Sequence[ReservationLine]) -> Iterator[TimelineEntry]:
    if lines:
        what = f"stock held: {', '.join(map(str, lines))}"
        yield TimelineEntry(at=reservation.created_at, context="inventory", what=what)
    if reservation.ended_at:
        what = f"stock {reservation.status}" if lines else "no stock will be held"
        yield TimelineEntry(at=reservation.ended_at, context="inventory", what=what)


def _panel(reservation: Reservation, lines: Sequence[ReservationLine]) -> Panel:
    status = reservation.status if lines else "none: the order ended before any was held"
    return Panel(
        title="Stock",
        facts=[
            ("Reservation", Link(status, "admin:inventory_reservation_change", reservation.pk)),
            ("Since", to_the_second(reservation.ended_at or reservation.created_at)),
        ],
        columns=["Sku", "Quantity"],
        rows=[(line.sku, line.quantity) for line in lines],
    )
