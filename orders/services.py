"""
Steering orders, and keeping the products. Each function is one transaction and announces what it changed.

Orders is the process manager of a sale: it asks inventory for stock and payments for money by events, and decides by
theirs. Functions take sets, for one order costs as many statements as two hundred.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import prefetch_related_objects

from messaging import contracts
from messaging.outbox import publish_all

from . import events
from .models import Order, Product

logger = logging.getLogger(__name__)


class CannotCancel(Exception):
    """
    The order is already final, so there is nothing left to cancel.
    """


class AlreadyCancelled(CannotCancel):
    """
    The order is cancelled already, by whomever, which may be all that was wanted.
    """


@transaction.atomic
def request_payments(order_ids: Collection[str], *, now: datetime) -> None:
    """
    Ask for the money of orders whose stock is held, and set the moments of reminder and expiry.
    """
    orders = _those_that_may_become(Order.Status.AWAITING_PAYMENT, order_ids)
    Order.move_to(Order.Status.AWAITING_PAYMENT, orders, now=now)
    reminder_at = now + timedelta(seconds=settings.ORDERS.reminder_seconds)
    due_at = now + timedelta(seconds=settings.ORDERS.payment_due_seconds)
    publish_all([events.payment_requested(order) for order in orders])
    publish_all([events.payment_due_soon(order) for order in orders], at=reminder_at)
    publish_all([events.payment_overdue(order) for order in orders], at=due_at)


@transaction.atomic
def confirm_orders(order_ids: Collection[str], *, now: datetime) -> None:
    """
    Confirm paid orders. One that was cancelled meanwhile stays so: payments refunds its money.
    """
    orders = _those_that_may_become(Order.Status.CONFIRMED, order_ids)
    Order.move_to(Order.Status.CONFIRMED, orders, now=now)
    prefetch_related_objects(orders, "lines")
    publish_all([events.order_confirmed(order) for order in orders])


@transaction.atomic
def cancel_orders(reasons: Mapping[str, str], *, now: datetime) -> None:
    """
    Cancel these orders, each for its reason, unless they are final already.

    :param reasons: a cancel reason by order id.
    """
    orders = _those_that_may_become(Order.Status.CANCELLED, reasons)
    for reason in sorted(set(reasons.values())):
        _cancel([order for order in orders if reasons[str(order.pk)] == reason], reason, now)


@transaction.atomic
def cancel_order(order_id: str, *, reason: str, now: datetime) -> Order:
    """
    Cancel one order on a person's word.

    :raises AlreadyCancelled: if it is cancelled already.
    :raises CannotCancel: if it is final otherwise.
    """
    (order,) = Order.objects.locked([order_id])
    if not order.may_become(Order.Status.CANCELLED):
        refusal = AlreadyCancelled if order.status == Order.Status.CANCELLED else CannotCancel
        raise refusal(f"Nothing was cancelled: this order is already {order.get_status_display().lower()}.")
    _cancel([order], reason, now)
    return order


@transaction.atomic
def record_refunds(amounts: Mapping[str, int], *, now: datetime) -> None:
    """
    Record money that went back. An order whose whole total went back becomes refunded, or is cancelled if we had not
    learned yet that it was paid.

    :param amounts: minor units by order id.
    """
    orders = Order.objects.locked(amounts)
    for order in orders:
        order.refunded += amounts[str(order.pk)]
    Order.objects.bulk_update(orders, ["refunded"])
    whole = [order for order in orders if order.refunded == order.total]
    Order.move_to(Order.Status.REFUNDED, [order for order in whole if order.may_become(Order.Status.REFUNDED)], now=now)
    unconfirmed = [order for order in whole if order.may_become(Order.Status.CANCELLED)]
    _cancel(unconfirmed, Order.CancelReason.BY_OPERATOR, now)


def add_products(products: Sequence[Product]) -> list[Product]:
    """
    Offer these products, unless their sku is offered already, and announce the new ones.
    """
    try:
        return _add_products(products)
    except IntegrityError:  # somebody offered one of them at this moment, so it is known now
        return _add_products(products)


@transaction.atomic
def _add_products(products: Sequence[Product]) -> list[Product]:
    known = set(Product.objects.filter(sku__in=[product.sku for product in products]).values_list("sku", flat=True))
    new = sorted((product for product in products if product.sku not in known), key=lambda product: product.sku)
    Product.objects.bulk_create(new)
    publish_all([contracts.ProductAdded(sku=product.sku, name=product.name) for product in new])
    return new


@transaction.atomic
def show_availability(changes: Mapping[str, tuple[int, bool]]) -> None:
    """
    Show products as sold out or available, unless a later change is shown already: a replayed one may come late.

    :param changes: inventory's revision, and whether the product is sold out, by sku.
    """
    products = list(Product.objects.filter(sku__in=list(changes)).select_for_update().order_by("sku"))
    outdated = [product for product in products if product.stock_revision < changes[product.sku][0]]
    for product in outdated:
        product.stock_revision, product.sold_out = changes[product.sku]
    Product.objects.bulk_update(outdated, ["stock_revision", "sold_out"])


def _those_that_may_become(status: str, order_ids: Iterable[str]) -> list[Order]:
    orders = Order.objects.locked(order_ids)
    ready = [order for order in orders if order.may_become(status)]
    for order in orders:
        if not order.may_become(status):
            logger.info("Order %s is %s and does not become %s any more.", order.pk, order.status, status)
    return ready


def _cancel(orders: Sequence[Order], reason: str, now: datetime) -> None:
    cancelled = [events.order_cancelled(order, reason) for order in orders]
    Order.move_to(Order.Status.CANCELLED, orders, now=now, cancel_reason=reason)
    publish_all(cancelled)
