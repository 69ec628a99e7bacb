"""
Placing orders: each entirely or not at all, and once for repeated requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext, ngettext

from messaging.kernel.databases import bulk_copy_instances, exclusive_transaction, pipelined
from messaging.kernel.ids import new_id
from messaging.kernel.order_numbers import new_number
from messaging.outbox import publish_all

from . import events
from .drafts import Draft, Limits, OrderProblem, Products
from .models import CustomerQuota, HistoryEntry, Identity, Order, OrderLine, Product, StoredResponse
from .responses import order_url, render_response


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
class PlacedOrder:
    """
    The order of a draft, new or placed before.
    """

    order: Order
    is_new: bool
    url: str = ""
    """Empty from `place_orders`, which answers no request."""
    response_body: bytes = b""
    """The body of the response to the request that placed it; empty likewise."""


def place_order(draft: Draft, *, base_url: str, now: datetime) -> PlacedOrder:
    """
    Place one order, or return the one that the same request placed before.

    :param base_url: scheme and host of the links in the response body, which is stored for repeated requests.
    :raises InvalidOrder: if the draft has problems.
    :raises TooManyOpenOrders: if the customer has as many open orders as allowed.
    :raises IdempotencyKeyReused: if the key belongs to a different order.
    :raises Busy: if the same request is in progress.
    """
    while True:
        number = new_number()
        try:
            return _place_order(draft, number, base_url=base_url, now=now)
        except IntegrityError:
            if not Order.objects.filter(number=number).exists():
                raise


@transaction.atomic
def place_orders(drafts: Sequence[Draft], *, now: datetime) -> list[PlacedOrder | InvalidOrder]:
    """
    Place these orders, each entirely or not at all, and publish the new ones. Return one result per draft, in order.

    A draft whose key was used before yields that order, even if it could not be placed now.
    """
    products = Product.objects.in_bulk({line.sku for draft in drafts for line in draft.lines})
    candidates = [_candidate(draft, products, Limits(), now) for draft in drafts]
    identities = [_identity(draft, candidate) for draft, candidate in zip(drafts, candidates, strict=True)]
    stored = _stored([order for order in candidates if isinstance(order, Order)], identities)
    results = [_result(candidate, stored.get(key)) for candidate, key in zip(candidates, identities, strict=True)]
    _record_and_publish([placed.order for placed in results if isinstance(placed, PlacedOrder) and placed.is_new])
    return results


def preview(draft: Draft, *, now: datetime) -> Order:
    """
    Return the order that a draft would become, without storing it.

    :raises InvalidOrder: if the draft has problems.
    """
    return _validated(draft, Product.objects.on_offer(draft.skus), now)


def _place_order(draft: Draft, number: str, *, base_url: str, now: datetime) -> PlacedOrder:
    """
    Place one order as `place_order` does.

    :raises IntegrityError: if an order has the number.
    """
    reads = Order.objects.quota_statement(draft.identity), Product.objects.offer_statement(draft.skus)
    name = f"place order {draft.customer_id} {draft.idempotency_key or new_id()}"
    with exclusive_transaction(name, *reads) as [[quota_row], offer]:
        quota = CustomerQuota(*quota_row)
        if quota.key_is_used:
            return _placed_before(draft, base_url)
        if quota.open_orders >= settings.ORDERS.max_open_orders:
            raise TooManyOpenOrders(_too_many(quota.open_orders))
        order = _validated(draft, Product.objects.from_offer(offer), now)
        order.number = number
        url = order_url(order, base_url=base_url)
        response_body = render_response(order, url=url)
        with pipelined():
            bulk_copy_instances([order])
            _record_and_publish([order])
            bulk_copy_instances([StoredResponse(order=order, body=response_body)])
        return PlacedOrder(order=order, is_new=True, url=url, response_body=response_body)


def _stored(orders: Sequence[Order], identities: Sequence[Identity]) -> dict[Identity, Order]:
    """
    Insert the orders whose identity is new, and return the orders that have these identities then.

    An order whose number is taken is skipped like one whose identity is taken, and gets another number.
    """
    while True:
        for order in orders:
            order.number = new_number()
        Order.objects.insert_new(orders)
        stored = Order.objects.by_identity(identities)
        orders = [order for order in orders if order.identity not in stored]
        if not orders:
            return stored


def _too_many(open_orders: int) -> str:
    detail = ngettext(
        "%(count)s order is still open: wait for it, or cancel it.",
        "%(count)s orders are still open: wait for them, or cancel some.",
        open_orders,
    )
    return detail % {"count": open_orders}


def _identity(draft: Draft, candidate: Order | InvalidOrder) -> Identity:
    # An order whose draft has no key has one of its own.
    return candidate.identity if isinstance(candidate, Order) else draft.identity


def _result(candidate: Order | InvalidOrder, stored: Order | None) -> PlacedOrder | InvalidOrder:
    if stored and stored != candidate:
        return PlacedOrder(order=stored, is_new=False)
    return PlacedOrder(order=candidate, is_new=True) if isinstance(candidate, Order) else candidate


def _validated(draft: Draft, products: Products, now: datetime) -> Order:
    limits = Limits(lines=settings.ORDERS.max_lines, quantity=settings.ORDERS.max_quantity)
    candidate = _candidate(draft, products, limits, now)
    if isinstance(candidate, InvalidOrder):
        raise candidate
    return candidate


def _placed_before(draft: Draft, base_url: str) -> PlacedOrder:
    order = Order.objects.with_parts().get(customer=draft.customer_id, idempotency_key=draft.idempotency_key)
    if order.fingerprint != draft.fingerprint():
        raise IdempotencyKeyReused(gettext("This idempotency key was used for a different order: send a new key."))
    stored = StoredResponse.objects.filter(order=order).first()
    # An imported order has no stored response: no request placed it.
    url = order_url(order, base_url=base_url)
    body = bytes(stored.body) if stored else render_response(order, url=url)
    return PlacedOrder(order=order, is_new=False, url=url, response_body=body)


def _candidate(draft: Draft, products: Products, limits: Limits, now: datetime) -> Order | InvalidOrder:
    """
    Return the order of a draft, not stored yet, or its problems.
    """
    if problems := draft.problems(products, limits):
        return InvalidOrder(problems)
    order = Order(
        customer_id=draft.customer_id,
        fingerprint=draft.fingerprint(),
        currency=settings.ORDERS.currency,
        email=draft.email or draft.account_email,
        phone=draft.phone,
        note=draft.note,
        language=draft.language,
        payment_method=draft.payment_method,
        placed_at=now,
    )
    order.idempotency_key = draft.idempotency_key or str(order.pk)
    order.all_lines = [
        OrderLine(order=order, sku=sku, name=products[sku].name, quantity=quantity, unit_price=price)
        for (sku, price), quantity in draft.quantities(products).items()
    ]
    order.steps = [HistoryEntry(order=order, status=Order.Status.PLACED, at=now)]
    order.all_refunds = []
    order.total = sum(line.quantity * line.unit_price for line in order.all_lines)
    return order


def _record_and_publish(orders: Sequence[Order]) -> None:
    bulk_copy_instances([line for order in orders for line in order.all_lines])
    bulk_copy_instances([step for order in orders for step in order.steps])
    publish_all([events.order_placed(order, order.all_lines) for order in orders])
