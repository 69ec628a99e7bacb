from dataclasses import replace
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from shop.accounts.models import SigningKey, Token
from shop.accounts.services import create_key
from tests.bad_input.scene import PASSWORD, offer_products, place_orders
from tests.webhooks import SECRET, SIMULATED


@pytest.fixture(autouse=True)
def orders(db) -> dict[str, UUID]:
    """
    The scene that no case may change; the ids of its orders.
    """
    create_user = get_user_model().objects.create_user
    offer_products()
    return place_orders(ada=create_user("ada", "ada@example.com", PASSWORD), bob=create_user("bob"))


@pytest.fixture
def token(orders) -> str:
    """
    What opens the API to Ada's programs.
    """
    return Token.objects.create(user=get_user_model().objects.get(username="ada"), name="till")[1]


@pytest.fixture
def api(token) -> Client:
    """
    A program of Ada's that says what is always to be said, unless it says otherwise.
    """
    return Client(headers={"Authorization": f"Token {token}", "Idempotency-Key": "basket-1"})


@pytest.fixture
def signing_key(orders) -> SigningKey:
    """
    Ada's.
    """
    ada = get_user_model().objects.get(username="ada")
    made, _ = create_key(owner=ada, name="till", algorithm="hmac-sha256", now=timezone.now())
    return made


@pytest.fixture
def gateway(settings) -> Client:
    """
    Whoever calls back as the payment gateway.
    """
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=SIMULATED, webhook_secrets=(SECRET,))
    return Client()
