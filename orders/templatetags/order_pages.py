"""
Tags and filters of the pages of products and orders. A basket is the query of their URLs: `?quantity[RED-CHAIR]=2`.
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
from orders.serializers import QUANTITY_OF_SKU, lines_of

register = template.Library()


@register.filter
def quantity_of(query: QueryDict, sku: str) -> str:
    """
    Return the quantity of a product in the basket, as text; empty if it is not there.
    """
    return query.get(f"quantity[{sku}]", "")


@register.filter
def other_lines(query: QueryDict, products: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Return the lines of the basket for other products than these, with the names of the products.
    """
    shown = {product["sku"] for product in products}
    others = [line for line in lines_of(query) if line["sku"] not in shown]
    # Other text may contain characters that PostgreSQL rejects.
    skus = [line["sku"] for line in others if SKU.fullmatch(line["sku"])]
    names = dict(Product.objects.filter(sku__in=skus).values_list("sku", "name"))
    return [line | {"name": names.get(line["sku"], "")} for line in others]


@register.filter
def lines_without(query: QueryDict, sku: str) -> list[dict[str, Any]]:
    """
    Return the lines of the basket for other products than this one.
    """
    return [line for line in lines_of(query) if line["sku"] != sku]


@register.filter
def is_short(line: Mapping[str, Any]) -> bool:
    """
    Return whether less is available than this line of a quote asks for.
    """
    return line["available"] is not None and line["available"] < line["quantity"]


@register.filter
def basket_query(query: QueryDict) -> str:
    """
    Return the lines of a basket, and nothing else of a form or a query, as a query string.
    """
    return urlencode([(name, value) for name, value in query.items() if value and QUANTITY_OF_SKU.fullmatch(name)])


@register.filter
def reserved_until(order: Mapping[str, Any]) -> datetime | None:
    """
    Return when the payment of an order is due; None while no payment was requested.
    """
    requested = [step["at"] for step in order["history"] if step["status"] == Order.Status.AWAITING_PAYMENT]
    due = timedelta(seconds=settings.ORDERS.payment_due_seconds)
    return datetime.fromisoformat(requested[-1]) + due if requested else None


@register.filter
def posted_form(request: Request) -> QueryDict:
    """
    Return the submitted form, even if the API rejected the request before parsing it.
    """
    return request._request.POST  # noqa: SLF001


@register.filter
def cursor_of(address: str) -> str:
    """
    Return the cursor in the URL of a page of results.
    """
    return QueryDict(urlsplit(address).query)["cursor"]


@register.simple_tag
def fresh_idempotency_key() -> str:
    """
    Return a new idempotency key, so that a form submitted twice places one order.
    """
    return str(uuid4())
