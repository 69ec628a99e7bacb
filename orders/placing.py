"""
Placing orders: each entirely or not at all, and once for repeated requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import transaction

from messaging.kernel.databases import bulk_copy_instances, exclusive_transaction
from messaging.kernel.ids import new_id
from messaging.outbox import publish_all

from . import events
from .drafts import Draft, Limits, OrderProblem, Products
from .models import HistoryEntry, Identity, Order, OrderLine, Product, StoredResponse
from .responses import render_response


class InvalidOrder(Exception):
    """
    The draft has `problems`; nothing was stored.
    """

    def __init__(self, problems: Sequence[OrderProblem]) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = problems


class IdempotencyKeyReused(Exception):
    """
    The customer used this idempotency key for a different order before. Send a new key with a new order.
    """


class TooManyOpenOrders(Exception):
    """
    The customer has the maximum number of open orders.
    """


@dataclass(frozen=True, kw_only=True)
class Placement:
    """
    The result of a draft: its order, new or placed before, or the problems that prevent it.
    """

    order: Order | None = None
    is_new: bool = False
    problems: Sequence[OrderProblem] = ()


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    """
    An order and the response body of the request that placed it.
    """

    order: Order
    is_new: bool
    response_body: bytes


def place_order(draft: Draft, *, base_url: str, now: datetime) -> PlacedOrder:
    """
    Place one order, or return the one that the same request placed before.

    :param base_url: scheme and host of the links in the response body, which is stored for repeated requests.
    :raises InvalidOrder: if the draft has problems.
    :raises TooManyOpenOrders: if the customer has as many open orders as allowed.
    :raises IdempotencyKeyReused: if the key belongs to a different order.
    :raises Busy: if the same request is in progress.
    """
    with exclusive_transaction(f"place order {draft.customer_id} {draft.idempotency_key or new_id()}"):
        quota = Order.objects.quota_of(draft.identity)
        if quota.key_is_used:
            return _placed_before(draft, base_url)
        if quota.open_orders >= settings.ORDERS.max_open_orders:
            raise TooManyOpenOrders(f"{quota.open_orders} orders are still open: wait for them, or cancel some.")
        order = _validated(draft, now)
        bulk_copy_instances([order])
        _record_and_publish([order])
        response_body = render_response(order, base_url=base_url)
        bulk_copy_instances([StoredResponse(order=order, body=response_body)])
        return PlacedOrder(order=order, is_new=True, response_body=response_body)


@transaction.atomic
def place_orders(drafts: Sequence[Draft], *, now: datetime) -> list[Placement]:
    """
    Place these orders, each entirely or not at all, and publish the new ones. Return one placement per draft, in order.

    A draft whose key was used before yields that order, even if it could not be placed now.
    """
    products = Product.objects.in_bulk({line.sku for draft in drafts for line in draft.lines})
    sales = [_sale(draft, products, Limits(), now) for draft in drafts]
    Order.objects.insert_new([sale.order for sale in sales if sale.order])
    stored = Order.objects.by_identity([sale.identity for sale in sales])
    placements = [sale.placement(stored) for sale in sales]
    new = [sale.order for sale, placed in zip(sales, placements, strict=True) if placed.is_new]
    _record_and_publish([order for order in new if order])
    return placements


def preview(draft: Draft, *, now: datetime) -> Order:
    """
    Return the order that a draft would become, without storing it.

    :raises InvalidOrder: if the draft has problems.
    """
    return _validated(draft, now)


@dataclass(frozen=True, kw_only=True)
class _Sale:
    """
    An identity with its new order, not stored yet, or with the problems of the draft.
    """

    identity: Identity
    order: Order | None = None
    problems: Sequence[OrderProblem] = ()

    def placement(self, stored: Mapping[Identity, Order]) -> Placement:
        order = stored.get(self.identity)
        if order is None:
            return Placement(problems=self.problems)
        return Placement(order=order, is_new=self.order is not None and order.pk == self.order.pk)


def _validated(draft: Draft, now: datetime) -> Order:
    limits = Limits(lines=settings.ORDERS.max_lines, quantity=settings.ORDERS.max_quantity)
    sale = _sale(draft, Product.objects.in_bulk({line.sku for line in draft.lines}), limits, now)
    if sale.order is None:
        raise InvalidOrder(sale.problems)
    return sale.order


def _placed_before(draft: Draft, base_url: str) -> PlacedOrder:
    order = Order.objects.whole().get(customer=draft.customer_id, idempotency_key=draft.idempotency_key)
    if order.fingerprint != draft.fingerprint():
        raise IdempotencyKeyReused("This idempotency key was used for a different order: send a new key.")
    stored = StoredResponse.objects.filter(order=order).first()
    # An imported order has no stored response: no request placed it.
    body = bytes(stored.body) if stored else render_response(order, base_url=base_url)
    return PlacedOrder(order=order, is_new=False, response_body=body)


def _sale(draft: Draft, products: Products, limits: Limits, now: datetime) -> _Sale:
    if problems := draft.problems(products, limits):
        return _Sale(identity=draft.identity, problems=problems)
    order = Order(
        customer_id=draft.customer_id,
        fingerprint=draft.fingerprint(),
        currency=settings.ORDERS.currency,
        email=draft.email or draft.account_email,
        phone=draft.phone,
        note=draft.note,
        payment_method=draft.payment_method,
        placed_at=now,
    )
    order.idempotency_key = draft.idempotency_key or str(order.pk)
    order.all_lines = [
        OrderLine(order=order, sku=sku, name=products[sku].name, quantity=quantity, unit_price=price)
        for (sku, price), quantity in draft.quantities(products).items()
    ]
    order.steps = [HistoryEntry(order=order, status=Order.Status.PLACED, at=now)]
    order.total = sum(line.quantity * line.unit_price for line in order.all_lines)
    return _Sale(identity=order.identity, order=order)


def _record_and_publish(orders: Sequence[Order]) -> None:
    bulk_copy_instances([line for order in orders for line in order.all_lines])
    bulk_copy_instances([step for order in orders for step in order.steps])
    publish_all([events.order_placed(order, order.all_lines) for order in orders])
