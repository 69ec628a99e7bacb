"""
The timeline of one order over all contexts: its states, its messages with their causes and deliveries, its money, its
mails, and what operators did. Contexts tell their parts of it (`shop.http.order_panels`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from messaging.kernel.money import money
from messaging.kernel.order_numbers import mistake_in
from orders.finding import find_orders
from orders.models import Order
from shop.http.order_panels import TimelineEntry, TracedDelivery, parts_of, timeline_of

from .panels import IN_TRANSIT

__all__ = ["IN_TRANSIT", "OrderTrace", "TimelineEntry", "TracedDelivery", "UnknownOrder", "trace_order"]

MOST_LISTED = 10


class UnknownOrder(LookupError):
    """
    No order is found by this text, or several are.
    """


@dataclass(frozen=True, kw_only=True)
class OrderTrace:
    """
    An order with its timeline, sorted by time. The total is formatted for people, such as "12.50 GBP". Its trace id is
    the id of the request that placed it, or of the caller's trace.
    """

    order: UUID
    number: str
    idempotency_key: str
    status: str
    total: str
    trace_id: str
    timeline: Sequence[TimelineEntry]


def trace_order(reference: str) -> OrderTrace:
    """
    Return the timeline of the order that a person means: by its number, however it is written, its id or the beginning
    of it, its idempotency key (for an imported order, its invoice number), an e-mail address, or anything else by which
    the admin finds orders.

    :raises UnknownOrder: if no order has it, or more than one.
    """
    order = _find(reference)
    timeline = timeline_of(parts_of(order.pk))
    return OrderTrace(
        order=order.pk,
        number=order.number,
        idempotency_key=order.idempotency_key,
        status=order.status,
        total=money(order.total, order.currency),
        trace_id=next((entry.trace_id for entry in timeline if entry.trace_id), ""),
        timeline=timeline,
    )


def _find(reference: str) -> Order:
    orders = list(Order.objects.filter(pk__any=find_orders(reference)).order_by("-pk"))
    if not orders:
        unknown = f"No order has the number, id, idempotency key, e-mail address or phone number {reference!r}."
        raise UnknownOrder(mistake_in(reference) or unknown)
    if len(orders) > 1:
        more = f"\nand {len(orders) - MOST_LISTED} more" if len(orders) > MOST_LISTED else ""
        listed = "\n".join(map(_listed, orders[:MOST_LISTED]))
        raise UnknownOrder(f"{len(orders)} orders match {reference!r}; trace one of them:\n{listed}{more}")
    return orders[0]


def _listed(order: Order) -> str:
    return f"  {order.number}  {order.placed_at:%Y-%m-%d %H:%M}  {order.status:17} {money(order.total, order.currency)}"
