from dataclasses import replace
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from shop.accounts.models import SigningKey, Token
from tests.bad_input.scene import offer_products, place_orders
from tests.factories import PASSWORD, make_signing_key
from tests.webhooks import SECRET, SIMULATED


@pytest.fixture(autouse=True)
def orders(db) -> dict[str, UUID]:
    """
    Create the shop that no test of bad input may change; return the ids of its orders.
    """
    create_user = get_user_model().objects.create_user
    offer_products()
    return place_orders(ada=create_user("ada", "ada@example.com", PASSWORD), bob=create_user("bob"))


@pytest.fixture
def token(orders) -> str:
    """
    A token of Ada's.
    """
    return Token.objects.create(user=get_user_model().objects.get(username="ada"), name="till")[1]


@pytest.fixture
def api(token) -> Client:
    """
    A client of Ada's that sends the required headers by default.
    """
    return Client(headers={"Authorization": f"Token {token}", "Idempotency-Key": "basket-1"})


@pytest.fixture
def signing_key(orders) -> SigningKey:
    """
    A signing key of Ada's.
    """
    return make_signing_key()


@pytest.fixture
def gateway(settings) -> Client:
    """
    A client that sends webhooks, with the simulated gateway in use.
    """
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=SIMULATED, webhook_secrets=(SECRET,))
    return Client()
