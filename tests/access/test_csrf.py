"""
What a foreign page can make a browser do, which is nothing; and whose request it is when it says so twice.
"""

import pytest

from orders.models import Order
from shop.accounts.models import Token
from tests.access.callers import CSRF, OUR_PAGE, ask
from tests.access.routes import Route, every_route
from tests.refusals import problem_of
from tests.snapshot import snapshot

ORDERS, PLACE = Route("GET", "/api/v1/orders/"), Route("POST", "/api/v1/orders/")
ISSUE = Route("POST", "/api/v1/tokens/")
CALL_BACK = Route("POST", "/api/v1/webhooks/payments/")
"""Signed by the payment gateway; whoever else comes is nobody there, with or without a session."""
SELDOM_ASKED_WHO = ("/api/v1/schema/", "/api/v1/docs/", "/api/v1/redoc/")
EVIL = {"Origin": "https://evil.example"}


def unsafe_routes() -> list[Route]:
    """
    List all by which something could be changed; of the pages of models, those of one.
    """
    return [route for route in every_route() if route.is_unsafe and route.model in {"", "product"}]


class TestForeignPage:
    @pytest.mark.parametrize(
        ("headers", "cookie"),
        [
            pytest.param({}, CSRF, id="no token"),
            pytest.param({"X-CSRFToken": "d" * 32}, CSRF, id="another token"),
            pytest.param(OUR_PAGE, "", id="no cookie"),
            pytest.param(OUR_PAGE | EVIL, CSRF, id="our token, foreign origin"),
            pytest.param(OUR_PAGE | {"Origin": "null"}, CSRF, id="our token, hidden origin"),
        ],
    )
    def test_changes_nothing(self, people, things, headers, cookie):
        for route in unsafe_routes():
            person = people["ada" if route.is_api else "olga"]
            before = snapshot()

            answer = ask(route, things, cookies=person.session | {"csrftoken": cookie}, headers=headers)

            expected = (401, "invalid_signature") if route == CALL_BACK else (403, "csrf_failed")
            assert (answer.status_code, problem_of(answer)["code"]) == expected, route
            assert snapshot() == before, route

    def test_is_no_use_without_a_session(self, people, things):
        for route in unsafe_routes():
            if route.is_api and route != ISSUE:
                assert ask(route, things, headers=EVIL).status_code == 401, route


class TestProgram:
    def test_is_its_tokens_user_whatever_cookie_comes_along(self, people, things):
        ada, bob = people["ada"], people["bob"]

        listed = ask(ORDERS, things, cookies=bob.session, headers=ada.token)
        placed = ask(PLACE, things, cookies=bob.session, headers=ada.token)

        assert things["orders"] in [order["id"] for order in listed.json()["results"]]
        assert placed.status_code == 201
        assert Order.objects.get(pk=placed.json()["id"]).customer == ada.user

    def test_needs_no_csrf_token(self, people, things):
        assert ask(PLACE, things, cookies=people["ada"].session, headers=people["ada"].token | EVIL).status_code == 201

    @pytest.mark.parametrize("header", ["Token wrong", "Token", "Basic YWRhOnRocmVl", "Bearer x", ""])
    def test_is_not_let_in_by_the_cookie_when_its_token_is_no_good(self, people, things, header):
        for route in every_route():
            if route.is_api and route != ISSUE and route.pattern not in SELDOM_ASKED_WHO:
                headers = OUR_PAGE | {"Authorization": header}
                answer = ask(route, things, cookies=people["ada"].session, headers=headers)
                assert answer.status_code == 401, route

    def test_gets_its_token_by_the_password_alone(self, people, things):
        answer = ask(ISSUE, things, cookies=people["bob"].session, headers={"Authorization": "Token wrong"})

        assert answer.status_code == 201
        assert Token.objects.get(pk=answer.json()["id"]).user == people["ada"].user
