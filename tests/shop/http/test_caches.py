"""
No cache stores a response to a customer.
"""

import pytest
from django.test import Client

from tests.callers import ask_for_a_token
from tests.factories import PASSWORD, CustomerFactory
from tests.shop.http.readers import PERSON

pytestmark = pytest.mark.django_db

RESOURCES = ["orders", "payments", "notifications", "tokens", "signing-keys", "products", "nothing"]
JSON = {"Accept": "application/json"}


@pytest.mark.parametrize(("headers", "policy"), [(JSON, "no-store"), (PERSON, "private, no-cache")])
@pytest.mark.parametrize("is_logged_in", [True, False])
def test_stores_no_response(headers, policy, is_logged_in):
    client = Client()
    if is_logged_in:
        client.force_login(CustomerFactory())

    policies = {client.get(f"/api/v1/{name}/", headers=headers).headers["Cache-Control"] for name in RESOURCES}

    assert policies == {policy}


def test_stores_no_new_token():
    ada = CustomerFactory()
    ada.set_password(PASSWORD)
    ada.save()

    answer = ask_for_a_token()

    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")


def test_stores_no_error_of_the_middleware():
    answer = Client().generic("POST", "/api/v1/tokens/", b"x" * 70_000)

    assert (answer.status_code, answer.headers["Cache-Control"]) == (413, "no-store")
