"""
Customers, products and orders to tell stories with.
"""

from collections.abc import Mapping

import factory
from django.contrib.auth import get_user_model
from django.utils import timezone
from rest_framework.test import APIClient

from inventory.models import StockItem
from inventory.services import open_stock_items
from orders import placing
from orders.drafts import Draft, DraftLine
from orders.models import Order, Product
from shop.accounts.models import Token


class CustomerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = get_user_model()
        django_get_or_create = ("username",)

    username = "ada"
    email = factory.LazyAttribute(lambda customer: f"{customer.username}@example.com")


class ProductFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Product
        django_get_or_create = ("sku",)

    sku = "RED-CHAIR"
    name = factory.LazyAttribute(lambda product: product.sku.replace("-", " ").capitalize())
    price = 4_500


def make_stock(on_hand: int = 10, *, sku: str = "RED-CHAIR", price: int = 4_500) -> StockItem:
    """
    Offer a product and put so many of it on the shelf.
    """
    ProductFactory(sku=sku, price=price)
    open_stock_items([sku], opening=on_hand, now=timezone.now())
    return StockItem.objects.get(sku=sku)


def make_draft(quantities: Mapping[str, int] | None = None, **wishes: object) -> Draft:
    """
    Write down Ada's wish for one red chair, or for these quantities by sku.
    """
    lines = [DraftLine(sku=sku, quantity=quantity) for sku, quantity in (quantities or {"RED-CHAIR": 1}).items()]
    if "customer_id" not in wishes:
        wishes["customer_id"] = CustomerFactory().pk
    return Draft(**{"lines": lines, "payment_method": "tok_visa", "email": "ada@example.com"} | wishes)


def place_order(quantities: Mapping[str, int] | None = None, **wishes: object) -> Order:
    """
    Place that wish, and nothing more: deliver with `drain()`.
    """
    return placing.place_order(make_draft(quantities, **wishes), now=timezone.now(), answer=told).order


def told(order: Order) -> bytes:
    """
    Write what is told of a new order where nobody asks.
    """
    return str(order.pk).encode()


def api_of(username: str) -> APIClient:
    """
    Give this customer's program a token.
    """
    _, token = Token.objects.create(user=CustomerFactory(username=username), name="a program")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client
