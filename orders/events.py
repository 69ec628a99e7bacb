"""
Events that orders publishes, made from an order.
"""

from collections import Counter
from collections.abc import Sequence

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
    return contracts.OrderPlaced(order_id=str(order.pk), lines=merged)


def payment_requested(order: Order) -> contracts.PaymentRequested:
    return contracts.PaymentRequested(
        order_id=str(order.pk),
        amount=order.total,
        currency=order.currency,
        payment_method=order.payment_method,
        email=order.email,
        customer_id=str(order.customer_id),
    )


def payment_due_soon(order: Order) -> contracts.PaymentDueSoon:
    return contracts.PaymentDueSoon(
        order_id=str(order.pk),
        amount=order.total,
        currency=order.currency,
        email=order.email,
        customer_id=str(order.customer_id),
    )


def payment_overdue(order: Order) -> contracts.PaymentOverdue:
    return contracts.PaymentOverdue(
        order_id=str(order.pk), amount=order.total, currency=order.currency, customer_id=str(order.customer_id)
    )


def order_confirmed(order: Order) -> contracts.OrderConfirmed:
    lines = tuple(
        contracts.ConfirmedLine(sku=line.sku, name=line.name, quantity=line.quantity, unit_price=line.unit_price)
        for line in order.lines.all()
    )
    return contracts.OrderConfirmed(
        order_id=str(order.pk),
        total=order.total,
        currency=order.currency,
        email=order.email,
        lines=lines,
        customer_id=str(order.customer_id),
    )


def order_cancelled(order: Order, reason: str) -> contracts.OrderCancelled:
    return contracts.OrderCancelled(
        order_id=str(order.pk),
        reason=reason,
        payment_requested=order.status == Order.Status.AWAITING_PAYMENT,
        total=order.total,
        currency=order.currency,
        email=order.email,
        customer_id=str(order.customer_id),
    )
