"""Rows with the same ids in every run, so that one list of requests fits each database."""

from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from uuid import UUID, uuid5

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.auth.models import AbstractUser
from django.utils import timezone
from knox.crypto import hash_token

from inventory.services import open_stock_items
from notifications.models import Notification
from orders.models import HistoryEntry, Order, OrderLine, Product
from payments.models import PaymentIntent
from shop.accounts.models import SigningKey, Token
from shop.accounts.sealing import seal
from tests.factories import PASSWORD

CUSTOMERS = ("ada", "olga")
CSRF = "c" * 32


def id_of(name: str) -> UUID:
    return uuid5(UUID(int=0), name)


def token_of(username: str) -> str:
    return f"shop_{id_of(f'token of {username}').hex}"


def session_of(username: str) -> str:
    return id_of(f"session of {username}").hex


IDS: Mapping[str, str] = {
    resource: str(id_of(resource)) for resource in ("orders", "payments", "notifications", "tokens", "signing-keys")
} | {"products": "RED-CHAIR", "stock": "RED-CHAIR"}


def build() -> None:
    """Create Ada, a customer with one row of each resource, and Olga, a superuser."""
    create_user = get_user_model().objects.create_user
    ada = create_user("ada", "ada@example.com", PASSWORD)
    olga = create_user("olga", "olga@example.com", PASSWORD, is_staff=True, is_superuser=True)
    Product.objects.create(sku="RED-CHAIR", name="Red chair", price=4_500, sold_out=False)
    Product.objects.create(sku="OLD-LAMP", name="Old lamp", price=900, active=False)
    open_stock_items(["RED-CHAIR"], opening=100, now=timezone.now())
    for user in (ada, olga):
        _create_credentials(user)
    _create_one_of_each(ada)


def _create_credentials(user: AbstractUser) -> None:
    expiry = timezone.now() + timedelta(days=30)
    Token.objects.bulk_create(
        [Token(user=user, name="a program", digest=hash_token(token_of(user.username)), expiry=expiry)]
    )
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session._session_key = session_of(user.username)
    session.save(must_create=True)


def _create_one_of_each(user: AbstractUser) -> None:
    now, owner = timezone.now(), {"customer_id": str(user.pk), "order_id": id_of("orders")}
    order = Order.objects.create(
        id=id_of("orders"),
        number="K7Q4-M2X0",
        customer=user,
        idempotency_key="basket-0",
        fingerprint="f",
        currency="GBP",
        total=9_000,
        payment_method="tok_visa",
        placed_at=now,
    )
    OrderLine.objects.create(order=order, sku="RED-CHAIR", name="Red chair", quantity=2, unit_price=4_500)
    HistoryEntry.objects.create(order=order, status=order.status, at=now)
    PaymentIntent.objects.create(id=id_of("payments"), amount=9_000, currency="GBP", created_at=now, **owner)
    Notification.objects.create(
        id=id_of("notifications"), kind="order_confirmed", message_id=id_of("message"), created_at=now, **owner
    )
    Token.objects.bulk_create(
        [Token(id=id_of("tokens"), user=user, name="spare", digest="d", expiry=now + timedelta(days=30))]
    )
    SigningKey.objects.create(
        id=id_of("signing-keys"),
        owner=user,
        name="till",
        algorithm="hmac-sha256",
        sealed_secret=seal(b"s" * 32),
        created_at=now,
    )
