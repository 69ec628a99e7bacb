"""
Taking orders and steering them. Each function is one transaction and announces what it changed.

Orders is the process manager of a sale: it asks inventory for stock and payments for money by events, and decides by
theirs. Functions take sets, for one order costs as many statements as two hundred.
"""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import prefetch_related_objects

from messaging import contracts
from messaging.outbox import publish_all

from .models import HistoryEntry, Order, OrderLine, Product

logger = logging.getLogger(__name__)

SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
MAX_LINES = 2_000
MAX_QUANTITY = 1_000_000
MAX_AMOUNT = 2**53 - 1  # exact in every JSON reader

Identity = tuple[int, str]
"""What makes two requests the same order: the customer and the idempotency key."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """
    A reason why an order cannot be taken: a stable code, the field at fault, a sentence for its sender.
    """

    code: str
    field: str
    detail: str


class InvalidOrder(Exception):
    """
    The order cannot be taken as it is; `problems` says why, and nothing was stored.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.problems = problems


class IdempotencyKeyReused(Exception):
    """
    The customer used this idempotency key before, for a different order. Send a new key with a new order.
    """


class CannotCancel(Exception):
    """
    The order is already final, so there is nothing left to cancel.
    """


@dataclass(frozen=True, kw_only=True)
class DraftLine:
    sku: str
    quantity: int
    unit_price: int | None = None
    """In minor units; None takes the product's price."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """
    An order as its sender wishes it.

    :param idempotency_key: what makes a repeated request the same order; empty for an order of its own.
    :param expected_total: what the sender believes it costs, in minor units; None to accept the shop's total.
    """

    customer_id: int
    lines: Sequence[DraftLine]
    payment_method: str
    email: str = ""
    idempotency_key: str = ""
    expected_total: int | None = None

    def fingerprint(self) -> str:
        return sha256(msgspec.json.encode(asdict(self))).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Placement:
    """
    What became of a draft: its order, new or placed before, or the problems that prevent it.
    """

    order: Order | None = None
    is_new: bool = False
    problems: Sequence[Problem] = field(default_factory=tuple)


def place_order(draft: Draft, *, now: datetime) -> Placement:
    """
    Take one order, or find the one that the same request placed before.

    :raises InvalidOrder: if it cannot be taken.
    :raises IdempotencyKeyReused: if its key belongs to a different order.
    """
    (placement,) = place_orders([draft], now=now)
    if placement.order is None:
        raise InvalidOrder(placement.problems)
    if placement.order.fingerprint != draft.fingerprint():
        raise IdempotencyKeyReused("This idempotency key was used for a different order: send a new key.")
    return placement


@transaction.atomic
def place_orders(drafts: Sequence[Draft], *, now: datetime) -> list[Placement]:
    """
    Take these orders, each whole or not at all, and announce the new ones; one placement answers each draft.

    A draft whose key was used before finds that order, even if it could not be taken today.
    """
    products = Product.objects.in_bulk({line.sku for draft in drafts for line in draft.lines})
    problems = [_problems(draft, products) for draft in drafts]
    sales = [None if found else _sale(draft, products, now) for draft, found in zip(drafts, problems, strict=True)]
    stored = _store([sale.order for sale in sales if sale])
    stored |= _placed([_identity(draft) for draft, found in zip(drafts, problems, strict=True) if found])
    new = [sale for sale in sales if sale and stored[_identity(sale.order)].pk == sale.order.pk]
    _record_and_announce(new, now)
    new_ids = {sale.order.pk for sale in new}
    orders = [stored.get(_identity(sale.order if sale else draft)) for draft, sale in zip(drafts, sales, strict=True)]
    return [
        Placement(order=order, is_new=order.pk in new_ids) if order else Placement(problems=found)
        for order, found in zip(orders, problems, strict=True)
    ]


@transaction.atomic
def request_payments(order_ids: Collection[str], *, now: datetime) -> None:
    """
    Ask for the money of orders whose stock is held, and set the moments of reminder and expiry.
    """
    orders = _those_that_may_become(Order.Status.AWAITING_PAYMENT, order_ids)
    Order.move_to(Order.Status.AWAITING_PAYMENT, orders, now=now)
    publish_all([_payment_requested(order) for order in orders])
    publish_all([_payment_due_soon(order) for order in orders], at=now + _seconds("REMINDER_SECONDS"))
    publish_all([_payment_overdue(order) for order in orders], at=now + _seconds("PAYMENT_DUE_SECONDS"))


@transaction.atomic
def confirm_orders(order_ids: Collection[str], *, now: datetime) -> None:
    """
    Confirm paid orders. One that was cancelled meanwhile stays so: payments refunds its money.
    """
    orders = _those_that_may_become(Order.Status.CONFIRMED, order_ids)
    Order.move_to(Order.Status.CONFIRMED, orders, now=now)
    prefetch_related_objects(orders, "lines")
    publish_all([_order_confirmed(order) for order in orders])


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

    :raises CannotCancel: if it is final already.
    """
    (order,) = Order.objects.locked([order_id])
    if not order.may_become(Order.Status.CANCELLED):
        raise CannotCancel(f"This order is {order.get_status_display().lower()} and can no longer be cancelled.")
    _cancel([order], reason, now)
    return order


@transaction.atomic
def record_refunds(amounts: Mapping[str, int], *, now: datetime) -> None:
    """
    Record money that went back; a confirmed order whose whole total went back becomes refunded.

    :param amounts: minor units by order id.
    """
    orders = Order.objects.locked(amounts)
    for order in orders:
        order.refunded += amounts[str(order.pk)]
    Order.objects.bulk_update(orders, ["refunded"])
    whole = [order for order in orders if order.refunded == order.total]
    Order.move_to(Order.Status.REFUNDED, [order for order in whole if order.may_become(Order.Status.REFUNDED)], now=now)


@transaction.atomic
def add_products(products: Sequence[Product]) -> list[Product]:
    """
    Offer these products, unless their sku is offered already, and announce the new ones.
    """
    known = set(Product.objects.filter(sku__in=[product.sku for product in products]).values_list("sku", flat=True))
    new = [product for product in products if product.sku not in known]
    Product.objects.bulk_create(new)
    publish_all([contracts.ProductAdded(sku=product.sku, name=product.name) for product in new])
    return new


@transaction.atomic
def show_availability(sold_out: Mapping[str, bool]) -> None:
    """
    Show products as sold out or available.
    """
    for state in (True, False):
        skus = [sku for sku, is_sold_out in sold_out.items() if is_sold_out is state]
        Product.objects.filter(sku__in=skus).update(sold_out=state)


@dataclass(frozen=True)
class _Sale:
    order: Order
    lines: Sequence[OrderLine]


def _problems(draft: Draft, products: Mapping[str, Product]) -> list[Problem]:
    if not draft.lines:
        return [Problem(code="empty_order", field="lines", detail="An order needs at least one line.")]
    if len(draft.lines) > MAX_LINES:
        return [Problem(code="too_many_lines", field="lines", detail=f"An order has at most {MAX_LINES} lines.")]
    found = [
        problem for at, line in enumerate(draft.lines) for problem in _line_problems(f"lines[{at}]", line, products)
    ]
    return found or list(_total_problems(draft, products))


def _line_problems(at: str, line: DraftLine, products: Mapping[str, Product]) -> Iterator[Problem]:
    if not SKU.fullmatch(line.sku):
        yield Problem(code="invalid_sku", field=f"{at}.sku", detail=f"{line.sku!r} has not the form of a sku.")
    elif line.sku not in products:
        yield Problem(code="unknown_sku", field=f"{at}.sku", detail=f"No product has the sku {line.sku!r}.")
    if not 0 < line.quantity <= MAX_QUANTITY:
        detail = f"Order between 1 and {MAX_QUANTITY} of a product, not {line.quantity}."
        yield Problem(code="invalid_quantity", field=f"{at}.quantity", detail=detail)
    if line.unit_price is not None and not 0 <= line.unit_price <= MAX_AMOUNT:
        detail = f"A price is between 0 and {MAX_AMOUNT} minor units, not {line.unit_price}."
        yield Problem(code="invalid_price", field=f"{at}.unit_price", detail=detail)


def _total_problems(draft: Draft, products: Mapping[str, Product]) -> Iterator[Problem]:
    total = sum(line.quantity * _price(line, products) for line in draft.lines)
    if total > MAX_AMOUNT:
        yield Problem(code="total_too_large", field="lines", detail=f"An order costs at most {MAX_AMOUNT} minor units.")
    elif draft.expected_total not in (None, total):
        detail = f"The order costs {total}, not {draft.expected_total}: look at the prices and order again."
        yield Problem(code="price_changed", field="expected_total", detail=detail)


def _price(line: DraftLine, products: Mapping[str, Product]) -> int:
    return products[line.sku].price if line.unit_price is None else line.unit_price


def _sale(draft: Draft, products: Mapping[str, Product], now: datetime) -> _Sale:
    order = Order(
        customer_id=draft.customer_id,
        fingerprint=draft.fingerprint(),
        currency=settings.ORDERS["CURRENCY"],
        email=draft.email,
        payment_method=draft.payment_method,
        placed_at=now,
    )
    order.idempotency_key = draft.idempotency_key or str(order.pk)
    lines = _merged_lines(order, draft, products)
    order.total = sum(line.quantity * line.unit_price for line in lines)
    return _Sale(order, lines)


def _merged_lines(order: Order, draft: Draft, products: Mapping[str, Product]) -> list[OrderLine]:
    quantities: Counter[tuple[str, int]] = Counter()
    for line in draft.lines:
        quantities[line.sku, _price(line, products)] += line.quantity
    return [
        OrderLine(order=order, sku=sku, name=products[sku].name, quantity=quantity, unit_price=price)
        for (sku, price), quantity in quantities.items()
    ]


def _identity(wish: Draft | Order) -> Identity:
    return wish.customer_id, wish.idempotency_key


def _store(orders: Sequence[Order]) -> dict[Identity, Order]:
    """
    Insert the orders whose key is new and fetch, by identity, the order that each key belongs to now.
    """
    Order.objects.bulk_create(sorted(orders, key=_identity), ignore_conflicts=True)
    return _placed([_identity(order) for order in orders])


def _placed(identities: Sequence[Identity]) -> dict[Identity, Order]:
    customers, keys = {customer for customer, _ in identities}, [key for _, key in identities]
    found = Order.objects.filter(customer_id__in=customers, idempotency_key__in=keys)
    return {_identity(order): order for order in found}


def _record_and_announce(sales: Sequence[_Sale], now: datetime) -> None:
    OrderLine.objects.bulk_create([line for sale in sales for line in sale.lines])
    HistoryEntry.objects.bulk_create(
        [HistoryEntry(order=sale.order, status=Order.Status.PLACED, at=now) for sale in sales]
    )
    publish_all([_order_placed(sale) for sale in sales])


def _those_that_may_become(status: str, order_ids: Iterable[str]) -> list[Order]:
    orders = Order.objects.locked(order_ids)
    ready = [order for order in orders if order.may_become(status)]
    for order in orders:
        if not order.may_become(status):
            logger.info("Order %s is %s and does not become %s any more.", order.pk, order.status, status)
    return ready


def _cancel(orders: Sequence[Order], reason: str, now: datetime) -> None:
    cancelled = [_order_cancelled(order, reason) for order in orders]
    Order.move_to(Order.Status.CANCELLED, orders, now=now, cancel_reason=reason)
    publish_all(cancelled)


def _seconds(setting: str) -> timedelta:
    return timedelta(seconds=settings.ORDERS[setting])


def _order_placed(sale: _Sale) -> contracts.OrderPlaced:
    quantities: Counter[str] = Counter()
    for line in sale.lines:
        quantities[line.sku] += line.quantity
    lines = tuple(contracts.Line(sku=sku, quantity=quantity) for sku, quantity in quantities.items())
    return contracts.OrderPlaced(order_id=str(sale.order.pk), lines=lines)


def _payment_requested(order: Order) -> contracts.PaymentRequested:
    return contracts.PaymentRequested(
        order_id=str(order.pk),
        amount=order.total,
        currency=order.currency,
        payment_method=order.payment_method,
        email=order.email,
    )


def _payment_due_soon(order: Order) -> contracts.PaymentDueSoon:
    return contracts.PaymentDueSoon(
        order_id=str(order.pk), amount=order.total, currency=order.currency, email=order.email
    )


def _payment_overdue(order: Order) -> contracts.PaymentOverdue:
    return contracts.PaymentOverdue(order_id=str(order.pk), amount=order.total, currency=order.currency)


def _order_confirmed(order: Order) -> contracts.OrderConfirmed:
    lines = tuple(
        contracts.ConfirmedLine(sku=line.sku, name=line.name, quantity=line.quantity, unit_price=line.unit_price)
        for line in order.lines.all()
    )
    return contracts.OrderConfirmed(
        order_id=str(order.pk), total=order.total, currency=order.currency, email=order.email, lines=lines
    )


def _order_cancelled(order: Order, reason: str) -> contracts.OrderCancelled:
    return contracts.OrderCancelled(
        order_id=str(order.pk),
        reason=reason,
        payment_requested=order.status == Order.Status.AWAITING_PAYMENT,
        total=order.total,
        currency=order.currency,
        email=order.email,
    )
