"""
Rows 60 to 62 and 70: requests without valid credentials. Rows 63 to 67, of signatures, are in
tests/shop/accounts/signatures.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from shop.accounts.models import Token
from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import API, ORDERS, order_body
from tests.refusals import refused, send

FOR_CUSTOMERS = ["GET orders", "POST orders", "GET payments", "GET notifications", "GET tokens", "POST signing-keys"]


def program(authorization: str | None) -> Client:
    headers = {} if authorization is None else {"Authorization": authorization}
    return Client(headers={"Idempotency-Key": "basket-1"} | headers)


@rows(
    "authorization",
    (60, one_of(None, "", " ", "x", "Token", "Token ", "Token a b", "Token  ", "Token {token} {token}", "{token}")),
    (60, one_of("Token{token}", "Token\t{token}", "Token \xe9", "Token {token}\xa0", "Token \0", "Tok\xe9n {token}")),
    (60, one_of("Bearer {token}", "Negotiate", "Basic YWRhOmFkYQ==", "Digest username=ada")),
    (60, "Token {token}, Token {token}"),
)
def test_does_not_authenticate_by(token, authorization):
    stranger = program(authorization and authorization.format(token=token))

    for operation in FOR_CUSTOMERS:
        method, resource = operation.split()
        assert refused(stranger, method, f"{API}{resource}/", order_body())["code"] == "not_authenticated"


@pytest.mark.parametrize("authorization", [None, "Token", "Token wrong"])
def test_row_60_names_the_authentication_scheme(authorization):
    answer = send(program(authorization), "POST", ORDERS, order_body())

    assert answer.headers["WWW-Authenticate"] == "Token"


ENDS: list[Callable[[Token], object]] = [
    lambda token: token.delete(),
    lambda token: Token.objects.filter(pk=token.pk).update(expiry=timezone.now() - timedelta(seconds=1)),
    lambda token: get_user_model().objects.filter(pk=token.user_id).update(is_active=False),
    lambda token: Token.objects.filter(pk=token.pk).update(digest="0" * 128),
]
"""Revoked, expired, of an inactive user, unknown."""


def test_row_61_gives_the_same_response_to_every_invalid_token(token):
    problems = [refused(program("Token x"), "POST", ORDERS, order_body())]
    for end in ENDS:
        ended, text = Token.objects.create(user=get_user_model().objects.get(username="ada"), name="till")
        end(ended)
        problems.append(refused(program(f"Token {text}"), "POST", ORDERS, order_body()))
        get_user_model().objects.update(is_active=True)

    assert {problem["code"] for problem in problems} == {"invalid_token"}
    assert len({tuple(sorted({**problem, "request_id": ""}.items())) for problem in problems}) == 1


@rows("text", (61, one_of("wrong", "x" * 8_000, "'OR(1=1)", "{token},", "{token}x", "shop_", "%00")))
def test_rejects_the_token(token, text):
    stranger = program(f"Token {text.format(token=token)}")

    assert refused(stranger, "POST", ORDERS, order_body())["code"] == "invalid_token"


@pytest.mark.parametrize("name", ["token", "access_token", "auth", "Authorization", "api_key"])
def test_row_62_reads_no_token_from_the_query(token, name):
    assert refused(Client(), "GET", f"{ORDERS}?{name}={token}")["code"] == "not_authenticated"
    assert refused(Client(), "GET", f"{ORDERS}?{name}=Token%20{token}")["code"] == "not_authenticated"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_row_70_rejects_a_form_of_another_origin(orders, content_type):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(get_user_model().objects.get(username="ada"))
    path = f"{ORDERS}{orders['open']}/cancel/"

    problem = refused(browser, "POST", path, b"a=1", content_type=content_type, Origin="https://evil.example")

    assert problem["code"] == "csrf_failed"
