"""Customers, products, stock and orders with telling defaults."""

from collections.abc import Mapping

import factory
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.utils import timezone
from rest_framework.test import APIClient

from inventory.models import StockItem
from inventory.services import open_stock_items
from orders import placing
from orders.drafts import Draft, DraftLine
from orders.models import Order, Product
from shop.accounts.models import SigningKey, Token
from shop.accounts.services import create_key

BASE_URL = "http://testserver"
PASSWORD = "three red chairs"


class CustomerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = get_user_model()
        django_get_or_create = ("username",)

    username = "ada"
    email = factory.LazyAttribute(lambda customer: f"{customer.username}@example.com")
    password = factory.django.Password(PASSWORD)


class ProductFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Product
        django_get_or_create = ("sku",)

    sku = "RED-CHAIR"
    name = factory.LazyAttribute(lambda product: product.sku.replace("-", " ").capitalize())
    price = 4_500


def make_stock(on_hand: int = 10, *, sku: str = "RED-CHAIR", price: int = 4_500) -> StockItem:
    """Create a product with so many of it in stock."""
    ProductFactory(sku=sku, price=price)
    open_stock_items([sku], opening=on_hand, now=timezone.now())
    return StockItem.objects.get(sku=sku)


def make_draft(quantities: Mapping[str, int] | None = None, **fields: object) -> Draft:
    """Return a draft of Ada's order of one red chair, or of these quantities by sku."""
    lines = [DraftLine(sku=sku, quantity=quantity) for sku, quantity in (quantities or {"RED-CHAIR": 1}).items()]
    if "customer_id" not in fields:
        fields["customer_id"] = CustomerFactory().pk
    return Draft(**{"lines": lines, "payment_method": "tok_visa", "email": "ada@example.com"} | fields)


def place_order(quantities: Mapping[str, int] | None = None, **fields: object) -> Order:
    """Place that order. Its events are delivered by `drain()`."""
    return placing.place_order(make_draft(quantities, **fields), now=timezone.now(), base_url=BASE_URL).order


def make_signing_key(owner: AbstractUser | None = None) -> SigningKey:
    """Create a signing key of Ada, or of this customer."""
    owner = owner or CustomerFactory()
    return create_key(owner=owner, name="till", algorithm="hmac-sha256", now=timezone.now())[0]


def api_of(username: str) -> APIClient:
    """Return a client with a token of this customer."""
    _, token = Token.objects.create(user=CustomerFactory(username=username), name="test")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client
