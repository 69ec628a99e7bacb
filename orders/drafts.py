"""
Drafts: orders as requested, and their validation.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec
from django.conf import settings
from django.utils.translation import gettext

from .models import Identity, Product

SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
MAX_AMOUNT = 2**53 - 1  # exact in every JSON reader
NOT_REQUESTED = {"account_email", "language"}

Products = Mapping[str, Product]
"""Products by sku."""


@dataclass(frozen=True, kw_only=True)
class OrderProblem:
    """
    A reason why a draft cannot be placed: an error code, the path of the field, a sentence for the client.
    """

    code: str
    field: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """
    The maximum size of an order; the defaults are the technical limits.
    """

    lines: int = 2_000
    quantity: int = 1_000_000
    """Per sku."""


@dataclass(frozen=True, kw_only=True)
class DraftLine:
    sku: str
    quantity: int
    unit_price: int | None = None
    """In minor units; None for the product's price."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """
    An order as requested, not validated.

    :param email: address for notifications; empty for the account's address.
    :param idempotency_key: identifies repeated requests; empty for an order of its own.
    :param expected_total: in minor units; None to accept the shop's total.
    :param currency: expected currency, ISO 4217; empty to accept the shop's.
    :param account_email: the account's current address; not part of the request.
    :param language: of the customer, such as "de"; empty for the shop's; not part of the request.
    """

    customer_id: int
    lines: Sequence[DraftLine]
    payment_method: str
    email: str = ""
    phone: str = ""
    note: str = ""
    idempotency_key: str = ""
    expected_total: int | None = None
    currency: str = ""
    account_email: str = ""
    language: str = ""

    @property
    def identity(self) -> Identity:
        return self.customer_id, self.idempotency_key

    @property
    def skus(self) -> set[str]:
        return {line.sku for line in self.lines}

    def fingerprint(self) -> str:
        """
        Return a digest of the request, to distinguish a repeated request from a different one with the same key.

        Empty fields are left out, so that fields added in later versions do not change it.
        """
        fields = {
            name: value for name, value in vars(self).items() if value not in ("", None) and name not in NOT_REQUESTED
        }
        return sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()

    def quantities(self, products: Products) -> Counter[tuple[str, int]]:
        """
        Return the quantities by sku and unit price (minor units). Lines of one sku and price are merged.
        """
        merged: Counter[tuple[str, int]] = Counter()
        for line in self.lines:
            merged[line.sku, _price(line, products)] += line.quantity
        return merged

    def total(self, products: Products) -> int:
        """
        Return the total in minor units.
        """
        return sum(quantity * price for (_, price), quantity in self.quantities(products).items())

    def problems(self, products: Products, limits: Limits) -> list[OrderProblem]:
        """
        Return every reason why the draft cannot be placed; none if it can.
        """
        if not self.lines:
            return [
                OrderProblem(code="empty_order", field="lines", detail=gettext("An order needs at least one line."))
            ]
        if len(self.lines) > limits.lines:
            detail = too_many_lines(len(self.lines), limits.lines)
            return [OrderProblem(code="too_many_lines", field="lines", detail=detail)]
        problems = [
            problem
            for at, line in enumerate(self.lines)
            for problem in _line_problems(f"lines/{at}", line, products, limits)
        ]
        problems += self._quantity_problems(limits)
        return problems or list(self._money_problems(self.total(products)))

    def _quantity_problems(self, limits: Limits) -> Iterator[OrderProblem]:
        """
        Yield the lines at which the quantities of one sku, each within the limit, exceed it together.
        """
        totals: Counter[str] = Counter()
        for at, line in enumerate(self.lines):
            before, totals[line.sku] = totals[line.sku], totals[line.sku] + line.quantity
            if max(before, line.quantity) <= limits.quantity < totals[line.sku]:
                detail = gettext("Order at most %(most)s of a product, not %(quantity)s.")
                detail %= {"most": limits.quantity, "quantity": totals[line.sku]}
                yield OrderProblem(code="quantity_too_large", field=f"lines/{at}/quantity", detail=detail)

    def _money_problems(self, total: int) -> Iterator[OrderProblem]:
        if self.currency not in {"", settings.ORDERS.currency}:
            detail = gettext("Prices are in %(currency)s, not %(other)s.")
            detail %= {"currency": settings.ORDERS.currency, "other": self.currency}
            yield OrderProblem(code="currency_mismatch", field="currency", detail=detail)
        if total > MAX_AMOUNT:
            detail = gettext("An order costs at most %(most)s minor units.") % {"most": MAX_AMOUNT}
            yield OrderProblem(code="total_too_large", field="lines", detail=detail)
        elif self.expected_total not in (None, total):
            detail = gettext("The order costs %(total)s, not %(expected)s: look at the prices and order again.")
            detail %= {"total": total, "expected": self.expected_total}
            yield OrderProblem(code="price_changed", field="expected_total", detail=detail)


def too_many_lines(lines: int, most: int) -> str:
    """
    Return the sentence for the client who sends more lines than an order may have.
    """
    return gettext("An order has at most %(most)s lines, not %(lines)s.") % {"most": most, "lines": lines}


def _line_problems(at: str, line: DraftLine, products: Products, limits: Limits) -> Iterator[OrderProblem]:
    yield from _sku_problems(f"{at}/sku", line.sku, products)
    asked = {"sku": repr(line.sku[:80]), "quantity": line.quantity}
    if line.quantity < 1:
        detail = gettext("Order at least 1 of %(sku)s, not %(quantity)s.") % asked
        yield OrderProblem(code="invalid_quantity", field=f"{at}/quantity", detail=detail)
    elif line.quantity > limits.quantity:
        detail = gettext("Order at most %(most)s of %(sku)s, not %(quantity)s.") % {**asked, "most": limits.quantity}
        yield OrderProblem(code="quantity_too_large", field=f"{at}/quantity", detail=detail)
    if line.unit_price is not None and not 0 <= line.unit_price <= MAX_AMOUNT:
        detail = gettext("A price is between 0 and %(most)s minor units, not %(price)s.")
        detail %= {"most": MAX_AMOUNT, "price": line.unit_price}
        yield OrderProblem(code="invalid_price", field=f"{at}/unit_price", detail=detail)


def _sku_problems(at: str, sku: str, products: Products) -> Iterator[OrderProblem]:
    name = {"sku": repr(sku[:80])}
    if not SKU.fullmatch(sku):
        yield OrderProblem(code="invalid_sku", field=at, detail=gettext("%(sku)s is not a valid sku.") % name)
    elif sku not in products:
        yield OrderProblem(code="unknown_sku", field=at, detail=gettext("No product has the sku %(sku)s.") % name)
    elif not products[sku].active:
        yield OrderProblem(code="sku_not_available", field=at, detail=gettext("%(sku)s is no longer sold.") % name)


def _price(line: DraftLine, products: Products) -> int:
    return products[line.sku].price if line.unit_price is None else line.unit_price
