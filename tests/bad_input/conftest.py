from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from rest_framework.test import APIClient

from shop.accounts import create_key
from shop.models import SigningKey
from tests.bad_input.scene import PASSWORD, offer_products, place_orders
from tests.factories import api_of


@pytest.fixture(autouse=True)
def orders(db) -> dict[str, UUID]:
    """
    The scene that no case may change; the ids of its orders.
    """
    create_user = get_user_model().objects.create_user
    offer_products()
    return place_orders(ada=create_user("ada", "ada@example.com", PASSWORD), bob=create_user("bob"))


@pytest.fixture
def api(orders) -> APIClient:
    """
    A program of Ada's that says what is always to be said.
    """
    client = api_of("ada")
    client.credentials(**client._credentials, HTTP_IDEMPOTENCY_KEY="basket-1")
    return client


@pytest.fixture
def signing_key(orders) -> SigningKey:
    """
    Ada's.
    """
    ada = get_user_model().objects.get(username="ada")
    made, _ = create_key(owner=ada, name="till", algorithm="hmac-sha256", now=timezone.now())
    return made
