"""Customers, products, stock and orders with telling defaults."""

from collections.abc import Mapping

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.utils import timezone
from rest_framework.test import APIClient

from inventory.models import StockItem
from inventory.services import open_stock_items
from orders import placing
from orders.drafts import Draft, DraftLine
from orders.models import Order, Product
from shop.accounts.models import Token

BASE_URL = "http://testserver"


PASSWORD = "three red chairs"


def make_customer(username: str = "ada", **fields: object) -> AbstractUser:
    """Return the customer of this name, created with these fields, PASSWORD among them, if new."""
    users = get_user_model().objects
    known = users.filter(username=username).first()
    return known or users.create_user(username, f"{username}@example.com", PASSWORD, **fields)


def make_product(sku: str = "RED-CHAIR", **fields: object) -> Product:
    """Return the product of this sku, created with these fields if new."""
    defaults = {"name": sku.replace("-", " ").capitalize(), "price": 4_500} | fields
    return Product.objects.get_or_create(defaults, sku=sku)[0]


def make_stock(on_hand: int = 10, *, sku: str = "RED-CHAIR", price: int = 4_500) -> StockItem:
    """Create a product with so many of it in stock."""
    make_product(sku=sku, price=price)
    open_stock_items([sku], opening=on_hand, now=timezone.now())
    return StockItem.objects.get(sku=sku)


def make_draft(quantities: Mapping[str, int] | None = None, **fields: object) -> Draft:
    """Return a draft of Ada's order of one red chair, or of these quantities by sku."""
    lines = [DraftLine(sku=sku, quantity=quantity) for sku, quantity in (quantities or {"RED-CHAIR": 1}).items()]
    if "customer_id" not in fields:
        fields["customer_id"] = make_customer().pk
    return Draft(**{"lines": lines, "payment_method": "tok_visa", "email": "ada@example.com"} | fields)


def place_order(quantities: Mapping[str, int] | None = None, **fields: object) -> Order:
    """Place that order. Its events are delivered by `drain()`."""
    return placing.place_order(make_draft(quantities, **fields), now=timezone.now(), base_url=BASE_URL).order


def api_of(username: str) -> APIClient:
    """Return a client with a token of this customer."""
    _, token = Token.objects.create(user=make_customer(username=username), name="test")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client
