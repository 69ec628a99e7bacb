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

from .models import Identity, Product

SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
MAX_AMOUNT = 2**53 - 1  # exact in every JSON reader

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
            name: value for name, value in vars(self).items() if value not in ("", None) and name != "account_email"
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
            return [OrderProblem(code="empty_order", field="lines", detail="An order needs at least one line.")]
        if len(self.lines) > limits.lines:
            detail = f"An order has at most {limits.lines} lines, not {len(self.lines)}."
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
                detail = f"Order at most {limits.quantity} of a product, not {totals[line.sku]}."
                yield OrderProblem(code="quantity_too_large", field=f"lines/{at}/quantity", detail=detail)

    def _money_problems(self, total: int) -> Iterator[OrderProblem]:
        if self.currency not in {"", settings.ORDERS.currency}:
            detail = f"Prices are in {settings.ORDERS.currency}, not {self.currency}."
            yield OrderProblem(code="currency_mismatch", field="currency", detail=detail)
        if total > MAX_AMOUNT:
            detail = f"An order costs at most {MAX_AMOUNT} minor units."
            yield OrderProblem(code="total_too_large", field="lines", detail=detail)
        elif self.expected_total not in (None, total):
            detail = f"The order costs {total}, not {self.expected_total}: look at the prices and order again."
            yield OrderProblem(code="price_changed", field="expected_total", detail=detail)


def _line_problems(at: str, line: DraftLine, products: Products, limits: Limits) -> Iterator[OrderProblem]:
    yield from _sku_problems(f"{at}/sku", line.sku, products)
    if line.quantity < 1:
        detail = f"Order at least 1 of {line.sku[:80]!r}, not {line.quantity}."
        yield OrderProblem(code="invalid_quantity", field=f"{at}/quantity", detail=detail)
    elif line.quantity > limits.quantity:
        detail = f"Order at most {limits.quantity} of {line.sku[:80]!r}, not {line.quantity}."
        yield OrderProblem(code="quantity_too_large", field=f"{at}/quantity", detail=detail)
    if line.unit_price is not None and not 0 <= line.unit_price <= MAX_AMOUNT:
        detail = f"A price is between 0 and {MAX_AMOUNT} minor units, not {line.unit_price}."
        yield OrderProblem(code="invalid_price", field=f"{at}/unit_price", detail=detail)


def _sku_problems(at: str, sku: str, products: Products) -> Iterator[OrderProblem]:
    if not SKU.fullmatch(sku):
        yield OrderProblem(code="invalid_sku", field=at, detail=f"{sku[:80]!r} is not a valid sku.")
    elif sku not in products:
        yield OrderProblem(code="unknown_sku", field=at, detail=f"No product has the sku {sku!r}.")
    elif not products[sku].active:
        yield OrderProblem(code="sku_not_available", field=at, detail=f"{sku!r} is no longer sold.")


def _price(line: DraftLine, products: Products) -> int:
    return products[line.sku].price if line.unit_price is None else line.unit_price
