"""
What the pages of products and orders need to say. Until it is an order, a basket lives in their addresses, as
`?quantity[RED-CHAIR]=2`.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django import template
from django.http import QueryDict
from django.utils.dateparse import parse_datetime

from orders.representations import lines_of

register = template.Library()
register.filter("moment", parse_datetime)


@register.filter
def quantity_of(query: QueryDict, sku: str) -> str:
    """
    Tell how many of a product are in the basket.
    """
    return query.get(f"quantity[{sku}]", "")


@register.filter
def lines_beside(query: QueryDict, products: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    List what is in the basket beside these products.
    """
    shown = {product["sku"] for product in products}
    return [line for line in lines_of(query) if line["sku"] not in shown]


@register.filter
def cursor_of(address: str) -> str:
    """
    Tell where the page at an address begins.
    """
    return QueryDict(urlsplit(address).query)["cursor"]


@register.simple_tag
def fresh_key() -> str:
    """
    Give a form a key by which sending it twice is one order.
    """
    return str(uuid4())
