"""
Failed logins, tokens and signatures are limited before credentials are checked.
"""

from dataclasses import replace

import pytest
from django.test import Client
from rest_framework.test import APIClient

from shop.accounts.models import Account, Token
from tests.callers import LOGIN_PAGES, ORDERS, PRODUCTS, ask_for_a_token, log_in, throttled
from tests.factories import CustomerFactory, api_of
from tests.outbox import counting_statements
from tests.signing import send, signer_of

pytestmark = pytest.mark.django_db

ELSEWHERE = "192.0.2.7"


@pytest.fixture
def ada(ada):
    ada.is_staff = True
    ada.save()
    return ada


class TestFailedLogins:
    def test_of_a_username_close_every_login_to_it(self, ada, limits, at):
        limits(failed_logins_per_quarter_hour=3)
        failed = [ask_for_a_token(password="wrong"), *[log_in(page, "wrong") for page in LOGIN_PAGES]]
        at(600)

        refused = [ask_for_a_token(), *[log_in(page) for page in LOGIN_PAGES], ask_for_a_token(REMOTE_ADDR=ELSEWHERE)]

        assert [answer.status_code for answer in failed] == [401, 200, 200]
        assert [throttled(answer) for answer in refused] == [300] * 4
        assert not Token.objects.exists()
        assert ask_for_a_token("bob").status_code == 401
        at(900)
        assert [ask_for_a_token().status_code, *[log_in(page).status_code for page in LOGIN_PAGES]] == [201, 302, 302]

    def test_from_an_address_close_every_login_to_it(self, ada, limits):
        limits(failures_per_minute=3)
        for name in ("adam", "eve", "mallory"):
            assert ask_for_a_token(name).status_code == 401

        assert [throttled(ask_for_a_token()), *[throttled(log_in(page)) for page in LOGIN_PAGES]] == [60, 60, 60]
        assert ask_for_a_token(REMOTE_ADDR=ELSEWHERE).status_code == 201

    def test_are_rejected_without_a_statement_beyond_the_limit(self, ada, limits):
        limits(failed_logins_per_quarter_hour=1)
        ask_for_a_token(password="wrong")

        with counting_statements() as statements:
            assert throttled(ask_for_a_token())

        assert len(statements) == 0

    def test_are_counted_for_an_unknown_username_too(self, limits):
        limits(failed_logins_per_quarter_hour=2)

        assert [ask_for_a_token("mallory").status_code for _ in range(3)] == [401, 401, 429]

    def test_are_the_only_logins_counted(self, ada, limits):
        limits(failed_logins_per_quarter_hour=2, failures_per_minute=2)

        assert [ask_for_a_token().status_code for _ in range(5)] == [201] * 5

    @pytest.mark.parametrize("page", LOGIN_PAGES)
    def test_beyond_the_limit_show_a_page_to_a_browser(self, ada, limits, page):
        limits(failed_logins_per_quarter_hour=1)
        log_in(page, "wrong")

        answer = log_in(page, Accept="text/html")

        assert throttled(answer) == 900
        assert "<html" in answer.content.decode()
        assert Client().get(page).status_code == 200

    def test_do_not_end_a_session(self, ada, limits):
        limits(failed_logins_per_quarter_hour=1, failures_per_minute=1)
        browser, program = APIClient(), api_of("bob")
        browser.force_login(ada)
        ask_for_a_token(password="wrong")

        assert browser.get(ORDERS).status_code == 200
        assert throttled(program.get(ORDERS)) == 60
        assert program.get(ORDERS, REMOTE_ADDR=ELSEWHERE).status_code == 200


class TestInvalidTokens:
    @pytest.mark.parametrize("authorization", ["Token wrong", "Token", "Basic eDp4", "\xff"])
    def test_close_the_api_to_their_address_for_the_minute(self, limits, at, authorization):
        limits(failures_per_minute=30)
        ada, guesser = api_of("ada"), APIClient()

        forged = [{"Authorization": authorization, "X-Forwarded-For": f"192.0.2.{number}"} for number in range(40)]
        answers = [guesser.get(ORDERS, headers=headers).status_code for headers in forged]

        assert answers == [401] * 30 + [429] * 10
        assert throttled(ada.get(ORDERS)) == 60
        assert ada.get(ORDERS, REMOTE_ADDR=ELSEWHERE).status_code == 200
        at(60)
        assert ada.get(ORDERS).status_code == 200

    def test_do_not_close_it_to_anonymous_requests(self, limits):
        limits(failures_per_minute=1)
        APIClient().get(ORDERS, headers={"Authorization": "Token wrong"})

        assert APIClient().get(PRODUCTS).status_code == 200

    def test_are_rejected_without_a_statement_beyond_the_limit(self, limits):
        limits(failures_per_minute=1)
        APIClient().get(ORDERS, headers={"Authorization": "Token wrong"})

        with counting_statements() as statements:
            assert throttled(APIClient().get(ORDERS, headers={"Authorization": "Token wrong"}))

        assert len(statements) == 0


class TestInvalidSignatures:
    def test_close_the_api_to_their_address(self, api, limits):
        limits(failures_per_minute=2)
        signer = signer_of(CustomerFactory())
        forger = replace(signer, private=b"a guess")

        answers = [
            send(api, program.sign("GET", ORDERS), method="GET", body=b"")
            for program in (signer, forger, forger, signer)
        ]

        assert [answer.status_code for answer in answers] == [200, 401, 401, 429]

    def test_are_not_counted_where_a_signature_is_missing(self, api, limits):
        limits(failures_per_minute=1)
        Account.objects.create(user=CustomerFactory(), must_sign=True)

        assert [api.get(ORDERS).json()["code"] for _ in range(3)] == ["signature_required"] * 3
