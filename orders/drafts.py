"""
Orders as their senders wish them, and what may be wrong with a wish.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from .models import Product

SKU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
MAX_LINES = 2_000
MAX_QUANTITY = 1_000_000
MAX_AMOUNT = 2**53 - 1  # exact in every JSON reader

Products = Mapping[str, Product]
"""Products by sku."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """
    A reason why an order cannot be taken: a stable code, the field at fault, a sentence for its sender.
    """

    code: str
    field: str
    detail: str


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
        return sha256(msgspec.json.encode(self)).hexdigest()

    def quantities(self, products: Products) -> Counter[tuple[str, int]]:
        """
        Sum up the quantities of lines of one sku and one price, by sku and price in minor units.
        """
        merged: Counter[tuple[str, int]] = Counter()
        for line in self.lines:
            merged[line.sku, _price(line, products)] += line.quantity
        return merged

    def total(self, products: Products) -> int:
        """
        Tell what it costs, in minor units.
        """
        return sum(quantity * price for (_, price), quantity in self.quantities(products).items())

    def problems(self, products: Products) -> list[Problem]:
        """
        Tell why it cannot be taken; there is nothing to tell if it can.
        """
        if not self.lines:
            return [Problem(code="empty_order", field="lines", detail="An order needs at least one line.")]
        if len(self.lines) > MAX_LINES:
            return [Problem(code="too_many_lines", field="lines", detail=f"An order has at most {MAX_LINES} lines.")]
        found = [
            problem for at, line in enumerate(self.lines) for problem in _line_problems(f"lines[{at}]", line, products)
        ]
        return found or list(_total_problems(self.total(products), self.expected_total))


def _line_problems(at: str, line: DraftLine, products: Products) -> Iterator[Problem]:
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


def _total_problems(total: int, expected: int | None) -> Iterator[Problem]:
    if total > MAX_AMOUNT:
        yield Problem(code="total_too_large", field="lines", detail=f"An order costs at most {MAX_AMOUNT} minor units.")
    elif expected not in (None, total):
        detail = f"The order costs {total}, not {expected}: look at the prices and order again."
        yield Problem(code="price_changed", field="expected_total", detail=detail)


def _price(line: DraftLine, products: Products) -> int:
    return products[line.sku].price if line.unit_price is None else line.unit_price
