"""
Transitions of orders, and the product list. Each function is one transaction and publishes what it changed.

Orders is the process manager of a sale: it requests stock from inventory and money from payments by events, and reacts
to theirs. Functions take sets: one order costs as many statements as two hundred.
"""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import prefetch_related_objects
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from messaging import contracts
from messaging.kernel.databases import bulk_copy_instances
from messaging.outbox import publish_all

from . import events
from .models import Order, OrderRefund, Product

logger = logging.getLogger(__name__)

REASON_LENGTH = 100

CANNOT_CANCEL = {
    Order.Status.CONFIRMED: _("Nothing was cancelled: this order is already confirmed."),
    Order.Status.CANCELLED: _("Nothing was cancelled: this order is already cancelled."),
    Order.Status.REFUNDED: _("Nothing was cancelled: this order is already refunded."),
}


class CannotCancel(Exception):
    """
    The order is final.
    """


class AlreadyCancelled(CannotCancel):
    """
    The order is cancelled already.
    """


class Availability(NamedTuple):
    """
    What inventory reports of a product.
    """

    revision: int
    is_sold_out: bool = False
    few_left: int | None = None
    """How many can be ordered, if few."""


@transaction.atomic
def request_payments(order_ids: Collection[str], *, now: datetime) -> None:
    """
    Request payment of orders whose stock is held, and schedule reminder and expiry.
    """
    orders = _locked_if_allowed(Order.Status.AWAITING_PAYMENT, order_ids)
    Order.move_to(Order.Status.AWAITING_PAYMENT, orders, now=now)
    reminder_at = now + timedelta(seconds=settings.ORDERS.reminder_seconds)
    due_at = now + timedelta(seconds=settings.ORDERS.payment_due_seconds)
    prefetch_related_objects(orders, "lines")
    publish_all([events.payment_requested(order) for order in orders])
    publish_all([events.payment_due_soon(order, due_at) for order in orders], at=reminder_at)
    publish_all([events.payment_overdue(order) for order in orders], at=due_at)


@transaction.atomic
def confirm_orders(order_ids: Collection[str], *, now: datetime) -> None:
    """
    Confirm paid orders. One that was cancelled meanwhile stays cancelled: payments refunds it.
    """
    orders = _locked_if_allowed(Order.Status.CONFIRMED, order_ids)
    Order.move_to(Order.Status.CONFIRMED, orders, now=now)
    prefetch_related_objects(orders, "lines")
    publish_all([events.order_confirmed(order) for order in orders])


@transaction.atomic
def cancel_orders(reasons: Mapping[str, str], *, now: datetime) -> None:
    """
    Cancel these orders, each for its reason, unless they are final.

    :param reasons: a cancel reason by order id.
    """
    orders = _locked_if_allowed(Order.Status.CANCELLED, reasons)
    for reason in sorted(set(reasons.values())):
        _cancel([order for order in orders if reasons[str(order.pk)] == reason], reason, now)


@transaction.atomic
def cancel_order(order_id: str, *, reason: str, now: datetime) -> Order:
    """
    Cancel one order for a customer or an operator.

    :raises AlreadyCancelled: if it is cancelled already.
    :raises CannotCancel: if it is final otherwise.
    """
    (order,) = Order.objects.locked([order_id])
    if not order.may_become(Order.Status.CANCELLED):
        refusal = AlreadyCancelled if order.status == Order.Status.CANCELLED else CannotCancel
        raise refusal(gettext(CANNOT_CANCEL[Order.Status(order.status)]))
    _cancel([order], reason, now)
    return order


@transaction.atomic
def record_refunds(refunds: Sequence[contracts.PaymentRefunded], *, now: datetime) -> None:
    """
    Record refunds, each once. An order whose total is refunded in full becomes refunded, or cancelled if it was not
    confirmed yet.
    """
    orders = {str(order.pk): order for order in Order.objects.locked([refund.order_id for refund in refunds])}
    recorded = OrderRefund.objects.filter(pk__any=[refund.refund_id for refund in refunds])
    known = {str(refund_id) for refund_id in recorded.values_list("pk", flat=True)}
    new = [_refund(refund, orders[refund.order_id], now) for refund in refunds if refund.order_id in orders]
    new = [refund for refund in new if str(refund.pk) not in known]
    bulk_copy_instances(new)
    _reduce_totals([refund for refund in new if not refund.surplus], now)


def add_products(products: Sequence[Product]) -> list[Product]:
    """
    Add these products, except those whose sku exists, and publish the new ones. Return the new ones.
    """
    try:
        return _add_products(products)
    except IntegrityError:  # a concurrent transaction added one of them
        return _add_products(products)


@transaction.atomic
def _add_products(products: Sequence[Product]) -> list[Product]:
    skus = set(Product.objects.filter(sku__in=[product.sku for product in products]).values_list("sku", flat=True))
    new = sorted((product for product in products if product.sku not in skus), key=lambda product: product.sku)
    Product.objects.bulk_create(new)
    publish_all([contracts.ProductAdded(sku=product.sku, name=product.name) for product in new])
    return new


@transaction.atomic
def show_availability(changes: Mapping[str, Availability]) -> None:
    """
    Mark products as sold out or available, unless a later change was applied already: a replayed event may be late.

    :param changes: what inventory has reported last, by sku.
    """
    products = list(Product.objects.filter(sku__in=list(changes)).select_for_update().order_by("sku"))
    outdated = [product for product in products if product.stock_revision < changes[product.sku].revision]
    for product in outdated:
        product.stock_revision, product.sold_out, product.few_left = changes[product.sku]
    Product.objects.bulk_update(outdated, ["stock_revision", "sold_out", "few_left"])


def _locked_if_allowed(status: str, order_ids: Iterable[str]) -> list[Order]:
    orders = Order.objects.locked(order_ids)
    ready = [order for order in orders if order.may_become(status)]
    for order in orders:
        if not order.may_become(status):
            logger.info("Order %s is %s and cannot become %s.", order.pk, order.status, status)
    return ready


def _refund(event: contracts.PaymentRefunded, order: Order, now: datetime) -> OrderRefund:
    return OrderRefund(
        refund_id=UUID(event.refund_id),
        order=order,
        amount=event.amount,
        currency=event.currency,
        surplus=event.surplus,
        cause=event.cause,
        reason=event.reason[:REASON_LENGTH] if event.cause == OrderRefund.Cause.OPERATOR else "",
        at=now,
    )


def _reduce_totals(refunds: Sequence[OrderRefund], now: datetime) -> None:
    for refund in refunds:
        refund.order.refunded += refund.amount
    orders = list({refund.order_id: refund.order for refund in refunds}.values())
    Order.objects.bulk_update(orders, ["refunded"])
    whole = [order for order in orders if order.refunded == order.total]
    Order.move_to(Order.Status.REFUNDED, [order for order in whole if order.may_become(Order.Status.REFUNDED)], now=now)
    unconfirmed = [order for order in whole if order.may_become(Order.Status.CANCELLED)]
    _cancel(unconfirmed, Order.CancelReason.BY_OPERATOR, now)


def _cancel(orders: Sequence[Order], reason: str, now: datetime) -> None:
    prefetch_related_objects(orders, "lines")
    cancelled = [events.order_cancelled(order, reason) for order in orders]
    Order.move_to(Order.Status.CANCELLED, orders, now=now, cancel_reason=reason)
    publish_all(cancelled)
