"""
Events that orders publishes, made from an order.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from messaging import contracts

from .models import Order, OrderLine


def order_placed(order: Order, lines: Sequence[OrderLine]) -> contracts.OrderPlaced:
    """
    Return the event that asks for the order's stock: one line per sku.
    """
    quantities: Counter[str] = Counter()
    for line in lines:
        quantities[line.sku] += line.quantity
    merged = tuple(contracts.Line(sku=sku, quantity=quantity) for sku, quantity in quantities.items())
    return contracts.OrderPlaced(
        **_customer_facing(order),
        lines=merged,
        total=order.total,
        bought=bought(lines),
    )


def payment_requested(order: Order) -> contracts.PaymentRequested:
    return contracts.PaymentRequested(
        **_customer_facing(order),
        amount=order.total,
        payment_method=order.payment_method,
    )


def payment_due_soon(order: Order, due_at: datetime) -> contracts.PaymentDueSoon:
    """
    Return the event that reminds of an order's payment, before that is overdue. It reads `order.lines`.
    """
    return contracts.PaymentDueSoon(
        **_customer_facing(order),
        amount=order.total,
        lines=bought(order.lines.all()),
        due_at=due_at.isoformat(),
    )


def payment_overdue(order: Order) -> contracts.PaymentOverdue:
    return contracts.PaymentOverdue(
        order_id=str(order.pk), amount=order.total, currency=order.currency, customer_id=str(order.customer_id)
    )


def order_confirmed(order: Order) -> contracts.OrderConfirmed:
    """
    Return the event of a paid order. It reads `order.lines`.
    """
    return contracts.OrderConfirmed(
        **_customer_facing(order),
        total=order.total,
        lines=bought(order.lines.all()),
    )


def order_cancelled(order: Order, reason: str) -> contracts.OrderCancelled:
    """
    Return the event of an order that is being cancelled, with the status that it has before. It reads `order.lines`.
    """
    return contracts.OrderCancelled(
        **_customer_facing(order),
        reason=reason,
        payment_requested=order.status == Order.Status.AWAITING_PAYMENT,
        total=order.total,
        lines=bought(order.lines.all()),
    )


def bought(lines: Iterable[OrderLine]) -> tuple[contracts.ConfirmedLine, ...]:
    """
    Return the lines of an order as its customer sees them.
    """
    return tuple(
        contracts.ConfirmedLine(sku=line.sku, name=line.name, quantity=line.quantity, unit_price=line.unit_price)
        for line in lines
    )


def _customer_facing(order: Order) -> dict[str, Any]:
    """
    Return the fields of events from which customers are told about their order.
    """
    return {
        "order_id": str(order.pk),
        "number": order.number,
        "customer_id": str(order.customer_id),
        "email": order.email,
        "phone": order.phone,
        "language": order.language,
        "currency": order.currency,
    }
