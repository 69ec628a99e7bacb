"""
Tokens. Invalid requests for one, and credentials that are rejected, are in tests/bad_input.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from knox.crypto import hash_token
from rest_framework.test import APIClient

from shop.accounts.models import USER_FIELDS, Account, Token
from tests.callers import ORDERS, TOKENS, ask_for_a_token
from tests.factories import PASSWORD, api_of
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

REQUEST = {"username": "ada", "password": PASSWORD, "name": "till"}


def program(authorization: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=authorization)
    return client


def refusal(answer) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.headers["WWW-Authenticate"]


class TestCreate:
    def test_returns_a_token_that_authenticates(self, ada):
        answer = ask_for_a_token()

        token = Token.objects.get()
        assert answer.status_code == 201
        assert answer.json() == {
            "id": str(token.pk),
            "name": "till",
            "created_at": token.created.isoformat().replace("+00:00", "Z"),
            "expires_at": token.expiry.isoformat().replace("+00:00", "Z"),
            "token": answer.json()["token"],
        }
        assert answer.json()["token"].startswith("shop_")
        assert program(f"Token {answer.json()['token']}").get(ORDERS).status_code == 200

    @pytest.mark.parametrize(
        ("fields", "days"), [({}, 30), ({"expires_in_days": 1}, 1), ({"expires_in_days": 365}, 365)]
    )
    def test_sets_the_requested_lifetime(self, ada, fields, days):
        APIClient().post(TOKENS, REQUEST | fields, format="json")

        token = Token.objects.get()
        assert abs(token.expiry - token.created - timedelta(days=days)) < timedelta(seconds=5)

    def test_stores_a_digest_only(self, ada):
        token = ask_for_a_token().json()["token"]

        assert token not in str(Token.objects.values())

    def test_gives_the_same_response_to_every_wrong_login(self, ada):
        logins = [("ada", "three green chairs"), ("eve", PASSWORD), ("ADA", PASSWORD), ("mallory", PASSWORD)]
        answers = [ask_for_a_token(*login) for login in logins]
        get_user_model().objects.update(is_active=False)
        answers.append(ask_for_a_token())

        assert {refusal(answer) for answer in answers} == {(401, "invalid_credentials", "Token")}
        assert len({str(answer.json() | {"request_id": ""}) for answer in answers}) == 1
        assert not Token.objects.exists()

    def test_requires_no_signature(self, ada):
        Account.objects.create(user=ada, must_sign=True)

        assert ask_for_a_token().status_code == 201

    def test_enforces_the_maximum_of_valid_tokens(self, ada, settings):
        settings.ACCOUNTS = replace(settings.ACCOUNTS, tokens_per_user=2)
        expired, _ = ask_for_a_token(), ask_for_a_token()
        Token.objects.filter(pk=expired.json()["id"]).update(expiry=timezone.now())
        ask_for_a_token()

        answer = ask_for_a_token()

        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
        assert Token.objects.count() == 3
        assert api_of("bob").get(TOKENS).status_code == 200


class TestList:
    def test_shows_own_tokens_without_their_text(self, ada):
        till, api = ask_for_a_token().json(), api_of("ada")
        api_of("bob")

        rows = api.get(TOKENS).json()["results"]

        assert [set(row) for row in rows] == [{"id", "name", "created_at", "expires_at"}] * 2
        assert rows[1] == {name: value for name, value in till.items() if name != "token"}


class TestRevoke:
    def test_makes_the_token_invalid(self, ada):
        lost = ask_for_a_token().json()

        answer = api_of("ada").delete(f"{TOKENS}{lost['id']}/")

        assert (answer.status_code, answer.content) == (204, b"")
        assert refusal(program(f"Token {lost['token']}").get(ORDERS)) == (401, "invalid_token", "Token")


class TestAuthentication:
    @pytest.mark.parametrize("scheme", ["Token", "token", "TOKEN "])
    def test_accepts_the_scheme_in_any_case(self, ada, scheme):
        assert program(f"{scheme} {ask_for_a_token().json()['token']}").get(ORDERS).status_code == 200

    @pytest.mark.parametrize("must_sign", [None, False, True])
    def test_finds_the_user_and_the_account(self, ada, must_sign):
        ada.email, ada.is_superuser = "ada@example.com", True
        ada.save()
        if must_sign is not None:
            Account.objects.create(user=ada, must_sign=must_sign)
        token, text = Token.objects.create(ada, name="till")

        result = Token.objects.find(digest=hash_token(text), now=timezone.now())

        assert (result, result.user, result.name) == (token, ada, "till")
        assert [getattr(result.user, field) for field in USER_FIELDS] == [getattr(ada, field) for field in USER_FIELDS]
        assert result.user.password == ada.password
        assert result.user.account.must_sign is bool(must_sign)

    def test_costs_one_statement(self, ada):
        Account.objects.create(user=ada)
        for _ in range(3):
            ask_for_a_token()
        Token.objects.filter(name="till").update(expiry=timezone.now() + timedelta(seconds=-1))
        api = api_of("ada")

        with counting_statements() as statements:
            assert api.get("/api/v1/nothing/").status_code == 404
            assert api.get(f"{TOKENS}?cursor=x").status_code == 400

        assert [statement["sql"].split()[0] for statement in statements] == ["SELECT"]
