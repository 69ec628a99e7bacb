"""
Rows 78 and 79: more requests, or more failed logins, than a rate limit allows.
"""

import pytest
from django.test import Client

from tests.bad_input.scene import LOGIN, ORDERS, TOKENS, login, order_body
from tests.refusals import problem_of, refused, send

MINUTE = 60


FORGED = ["192.0.2.{number}", "{number}", "", "192.0.2.{number}, 127.0.0.1"]


@pytest.mark.parametrize(
    "forged", [{}, *[{"X_Forwarded_For": value} for value in FORGED], {"Forwarded": "for=192.0.2.{number}"}]
)
def test_row_78_limits_the_requests_of_an_address_that_cannot_be_forged(limits, forged):
    limits(address_per_minute=3)
    stranger = Client()
    for number in range(3):
        send(stranger, "GET", "/api/v1/products/", **numbered(forged, number))

    answer = send(stranger, "GET", "/api/v1/products/", **numbered(forged, 4))

    assert problem_of(answer)["code"] == "throttled"
    assert 0 < int(answer.headers["Retry-After"]) <= MINUTE


def test_row_78_limits_the_requests_of_an_account(api, limits):
    limits(account_per_minute=2)
    for number in range(2):
        assert send(api, "POST", ORDERS, order_body(), Idempotency_Key=f"basket-{number}").status_code == 201

    assert refused(api, "POST", ORDERS, order_body(), Idempotency_Key="basket-2")["code"] == "throttled"


@pytest.mark.parametrize("forged", [{}, {"X_Forwarded_For": "192.0.2.{number}"}])
def test_row_79_limits_invalid_tokens(token, limits, forged):
    limits(failures_per_minute=100)
    guesser = Client()
    for number in range(100):
        answer = send(guesser, "GET", ORDERS, Authorization=f"Token guess-{number}", **numbered(forged, number))
        assert answer.status_code == 401

    assert (
        refused(guesser, "GET", ORDERS, Authorization=f"Token {token}", **numbered(forged, 100))["code"] == "throttled"
    )


def test_row_79_limits_wrong_passwords(limits):
    limits(failed_logins_per_quarter_hour=10)
    for number in range(10):
        assert refused(Client(), "POST", TOKENS, login(password=f"guess-{number}"))["code"] == "invalid_credentials"

    assert refused(Client(), "POST", TOKENS, login(**LOGIN))["code"] == "throttled"


def numbered(headers: dict[str, str], number: int) -> dict[str, str]:
    return {name: value.format(number=number) for name, value in headers.items()}
