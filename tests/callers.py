"""
Requests that rate limits count.
"""

from django.test import Client
from rest_framework.test import APIClient

from tests.factories import PASSWORD

PRODUCTS, ORDERS, TOKENS = "/api/v1/products/", "/api/v1/orders/", "/api/v1/tokens/"
LOGIN_PAGES = ("/api/auth/login/", "/admin/login/")


def ask_for_a_token(username: str = "ada", password: str = PASSWORD, **extra: str):
    body = {"username": username, "password": password, "name": "till"}
    return APIClient().post(TOKENS, body, format="json", **extra)


def log_in(page: str, password: str = PASSWORD, **headers: str):
    return Client().post(page, {"username": "ada", "password": password}, headers=headers)


def throttled(answer) -> int:
    """
    Return the seconds of `Retry-After`; 0 if the response is not a 429.
    """
    if answer.status_code != 429:
        return 0
    assert "html" in answer.headers["Content-Type"] or answer.json()["code"] == "throttled"
    return int(answer.headers["Retry-After"])
