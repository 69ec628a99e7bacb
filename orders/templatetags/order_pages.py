"""
What the pages of products and orders need to say. Until it is an order, a basket lives in their addresses, as
`?quantity[RED-CHAIR]=2`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from django import template
from django.conf import settings
from django.http import QueryDict
from rest_framework.request import Request

from orders.drafts import SKU
from orders.models import Order, Product
from orders.serializers import QUANTITY_OF_SKU, WISH, lines_of

register = template.Library()


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
    others = [line for line in lines_of(query) if line["sku"] not in shown]
    # What has not the form of a sku may have characters that no database takes.
    skus = [line["sku"] for line in others if SKU.fullmatch(line["sku"])]
    names = dict(Product.objects.filter(sku__in=skus).values_list("sku", "name"))
    return [line | {"name": names.get(line["sku"], "")} for line in others]


@register.filter
def what_was_wished(query: QueryDict) -> str:
    """
    Write what belongs to the order, and nothing else of a form or an address, as an address has it.
    """
    return urlencode(_wished(query))


@register.filter
def beside_the_basket(query: QueryDict) -> list[tuple[str, str]]:
    """
    List what was typed for the order, but for its lines.
    """
    return [(name, value) for name, value in _wished(query) if not QUANTITY_OF_SKU.fullmatch(name)]


@register.filter
def reserved_until(order: Mapping[str, Any]) -> datetime | None:
    """
    Tell until when the goods of an order wait for its payment.
    """
    begun = [step["at"] for step in order["history"] if step["status"] == Order.Status.AWAITING_PAYMENT]
    due = timedelta(seconds=settings.ORDERS.payment_due_seconds)
    return datetime.fromisoformat(begun[-1]) + due if begun else None


@register.filter
def form_of(request: Request) -> QueryDict:
    """
    Read a form as it was sent, also where the API did not come to read it.
    """
    return request._request.POST  # noqa: SLF001


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


def _wished(query: QueryDict) -> list[tuple[str, str]]:
    return [(name, value) for name, value in query.items() if value and WISH.fullmatch(name)]
