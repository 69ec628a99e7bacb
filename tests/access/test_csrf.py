"""
Requests that another site makes a browser send, and requests with both a session and a token.
"""

import pytest

from orders.models import Order
from shop.accounts.models import Token
from tests.access.callers import CSRF, OUR_PAGE, send
from tests.access.routes import OF_DEAD_LETTERS, Route, every_route
from tests.refusals import problem_of
from tests.snapshot import snapshot

ORDERS, PLACE = Route("GET", "/api/v1/orders/"), Route("POST", "/api/v1/orders/")
ISSUE = Route("POST", "/api/v1/tokens/")
UNSUBSCRIBE = Route("POST", "/unsubscribe/<token>/")
"""Authenticated by its token only."""
CALL_BACKS = {Route("POST", f"/api/v1/webhooks/{subject}/") for subject in ("payments", "email", "sms")}
"""Authenticated by the provider's signature or secret only."""
INTROSPECT = Route("POST", "/api/v1/introspect/")
"""Authenticated by the secret of the shop's services only."""
WITHOUT_LOGIN = {
    Route("POST", f"/api/v1/{path}/")
    for path in ("password-resets", "password-resets/confirm", "sign-ups", "sign-ups/confirm")
}
"""For people who forgot their password, or have no account."""
UNAUTHENTICATED = ("/api/v1/schema/", "/api/v1/docs/", "/api/v1/redoc/")
EVIL = {"Origin": "https://evil.example"}


def unsafe_routes() -> list[Route]:
    """
    Return every route with an unsafe method; of the pages of models, those of one, and those that one has alone.
    """
    unsafe = [route for route in every_route() if route.is_unsafe]
    return [route for route in unsafe if route.model in {"", "product"} or route.pattern.endswith(OF_DEAD_LETTERS)]


class TestOtherSite:
    @pytest.mark.parametrize(
        ("headers", "cookie"),
        [
            pytest.param({}, CSRF, id="no token"),
            pytest.param({"X-CSRFToken": "d" * 32}, CSRF, id="another token"),
            pytest.param(OUR_PAGE, "", id="no cookie"),
            pytest.param(OUR_PAGE | EVIL, CSRF, id="right token, other origin"),
            pytest.param(OUR_PAGE | {"Origin": "null"}, CSRF, id="right token, null origin"),
        ],
    )
    def test_changes_nothing(self, people, ids, headers, cookie):
        for route in unsafe_routes():
            person = people["ada" if route.is_api else "olga"]
            before = snapshot()

            answer = send(route, ids, cookies=person.session | {"csrftoken": cookie}, headers=headers)

            expected = (401, "invalid_signature") if route in CALL_BACKS else (403, "csrf_failed")
            expected = (404, "invalid_link") if route == UNSUBSCRIBE else expected
            expected = (401, "invalid_token") if route == INTROSPECT else expected
            assert (answer.status_code, problem_of(answer)["code"]) == expected, route
            assert snapshot() == before, route

    def test_is_anonymous_without_a_session(self, people, ids):
        for route in unsafe_routes():
            if route.is_api and route not in {ISSUE, *WITHOUT_LOGIN}:
                assert send(route, ids, headers=EVIL).status_code == 401, route


class TestProgram:
    def test_is_authenticated_by_its_token_before_a_cookie_and_needs_no_csrf_token(self, people, ids):
        ada, bob = people["ada"], people["bob"]

        listed = send(ORDERS, ids, cookies=bob.session, headers=ada.token)
        placed = send(PLACE, ids, cookies=bob.session, headers=ada.token | EVIL)

        assert ids["orders"] in [order["id"] for order in listed.json()["results"]]
        assert placed.status_code == 201
        assert Order.objects.get(pk=placed.json()["id"]).customer == ada.user

    @pytest.mark.parametrize("header", ["Token wrong", "Token", "Basic YWRhOnRocmVl", "Bearer x", ""])
    def test_is_not_authenticated_by_a_cookie_if_its_token_is_invalid(self, people, ids, header):
        for route in every_route():
            if route.is_api and route != ISSUE and route.pattern not in UNAUTHENTICATED:
                headers = OUR_PAGE | {"Authorization": header}
                answer = send(route, ids, cookies=people["ada"].session, headers=headers)
                assert answer.status_code == 401, route

    def test_gets_a_token_by_its_password_only(self, people, ids):
        answer = send(ISSUE, ids, cookies=people["bob"].session, headers={"Authorization": "Token wrong"})

        assert answer.status_code == 201
        assert Token.objects.get(pk=answer.json()["id"]).user == people["ada"].user
