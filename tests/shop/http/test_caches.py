"""
What a customer is told is kept by no cache that others read.
"""

import pytest
from django.test import Client

from tests.factories import make_customer
from tests.shop.http.readers import PERSON

pytestmark = pytest.mark.django_db

RESOURCES = ["orders", "payments", "notifications", "tokens", "signing-keys", "products", "nothing"]
JSON = {"Accept": "application/json"}


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize(("reader", "kept"), [(JSON, "no-store"), (PERSON, "private, no-cache")])
@pytest.mark.parametrize("is_known", [True, False])
def test_answers_stay_with_who_asked(resource, reader, kept, is_known):
    client = Client()
    if is_known:
        client.force_login(make_customer())

    answer = client.get(f"/api/v1/{resource}/", headers=reader)

    assert answer.headers["Cache-Control"] == kept


def test_a_new_token_is_kept_by_nobody():
    ada = make_customer()
    ada.set_password("three red chairs")
    ada.save()
    asked = {"username": "ada", "password": "three red chairs", "name": "till"}

    answer = Client().post("/api/v1/tokens/", asked, "application/json")

    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")


def test_what_was_refused_unread_is_kept_by_nobody():
    answer = Client().generic("POST", "/api/v1/tokens/", b"x" * 70_000)

    assert (answer.status_code, answer.headers["Cache-Control"]) == (413, "no-store")
