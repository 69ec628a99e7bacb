from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from knox.crypto import hash_token
from rest_framework.test import APIClient

from shop.accounts.models import USER_FIELDS, Account, Token
from tests.factories import api_of, make_customer
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens/"
ORDERS = "/api/v1/orders/"
PASSWORD = "three red chairs"


@pytest.fixture
def ada():
    return get_user_model().objects.create_user("ada", password=PASSWORD)


def ask(**changes: object):
    return APIClient().post(TOKENS, {"username": "ada", "password": PASSWORD, "name": "till"} | changes, format="json")


def program(authorization: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=authorization)
    return client


def refusal(answer) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.headers["WWW-Authenticate"]


def told(answer) -> dict[str, object]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


class TestCreate:
    def test_gives_a_token_that_opens_the_api(self, ada):
        answer = ask()

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
        ("asked", "days"), [({}, 30), ({"expires_in_days": 1}, 1), ({"expires_in_days": 365}, 365)]
    )
    def test_gives_it_for_as_long_as_is_asked_for(self, ada, asked, days):
        ask(**asked)

        token = Token.objects.get()
        assert abs(token.expiry - token.created - timedelta(days=days)) < timedelta(seconds=5)

    def test_keeps_no_token(self, ada):
        token = ask().json()["token"]

        assert token not in str(Token.objects.values())

    @pytest.mark.parametrize("wrong", [{"password": "three green chairs"}, {"username": "eve"}, {"username": "ADA"}])
    def test_refuses_another_login(self, ada, wrong):
        answer = ask(**wrong)

        assert refusal(answer) == (401, "invalid_credentials", "Token")
        assert told(answer) == told(ask(username="mallory"))
        assert not Token.objects.exists()

    def test_refuses_who_has_left(self, ada):
        get_user_model().objects.update(is_active=False)

        assert refusal(ask()) == (401, "invalid_credentials", "Token")

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("password", "", "invalid_field"),
            ("password", None, "invalid_field"),
            ("password", [PASSWORD], "invalid_field"),
            ("username", 1, "invalid_field"),
            ("name", "", "invalid_name"),
            ("name", "n" * 101, "invalid_name"),
            ("name", None, "invalid_name"),
            ("expires_in_days", 0, "invalid_expiry"),
            ("expires_in_days", 366, "invalid_expiry"),
            ("expires_in_days", "30", "invalid_expiry"),
            ("expires_in_days", None, "invalid_expiry"),
            ("is_staff", True, "unknown_field"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, ada, field, value, code):
        answer = ask(**{field: value})

        assert answer.status_code == 400
        assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [(f"#/{field}", code)]
        assert not Token.objects.exists()

    def test_asks_for_no_token_and_looks_at_none(self, ada):
        body = {"username": "ada", "password": PASSWORD, "name": "till"}

        assert program("Token expired").post(TOKENS, body, format="json").status_code == 201

    def test_asks_for_no_signature(self, ada):
        Account.objects.create(user=ada, must_sign=True)

        assert ask().status_code == 201

    def test_takes_from_a_browser_what_one_of_our_pages_sends(self, ada, settings):
        browser = APIClient(enforce_csrf_checks=True)
        browser.force_login(ada)

        body = {"username": "ada", "password": PASSWORD, "name": "till"}

        refused = browser.post(TOKENS, body, format="json")
        browser.cookies[settings.CSRF_COOKIE_NAME] = "c" * 32
        taken = browser.post(TOKENS, body, format="json", headers={"X-CSRFToken": "c" * 32})

        assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
        assert taken.status_code == 201

    def test_gives_only_so_many(self, ada, settings):
        settings.ACCOUNTS = replace(settings.ACCOUNTS, tokens_per_user=2)
        expired, _ = ask(), ask()
        Token.objects.filter(pk=expired.json()["id"]).update(expiry=timezone.now())
        ask()

        answer = ask()

        assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
        assert Token.objects.count() == 3
        assert api_of("bob").get(TOKENS).status_code == 200


class TestList:
    def test_shows_own_tokens_without_what_opens(self, ada):
        token, api = ask(name="till").json(), api_of("ada")
        make_customer(username="bob")
        api_of("bob")

        listed = api.get(TOKENS).json()["results"]

        assert [(row["name"], set(row)) for row in listed] == [
            ("test", {"id", "name", "created_at", "expires_at"}),
            ("till", {"id", "name", "created_at", "expires_at"}),
        ]
        assert listed[1] == {name: value for name, value in token.items() if name != "token"}

    def test_is_not_for_strangers(self):
        assert refusal(APIClient().get(TOKENS)) == (401, "not_authenticated", "Token")


class TestRevoke:
    def test_closes_the_api_to_the_token(self, ada):
        lost = ask().json()

        answer = api_of("ada").delete(f"{TOKENS}{lost['id']}/")

        assert (answer.status_code, answer.content) == (204, b"")
        assert refusal(program(f"Token {lost['token']}").get(ORDERS)) == (401, "invalid_token", "Token")

    @pytest.mark.parametrize("whose", ["bob's", "nobody's", "no id"])
    def test_leaves_other_tokens_alone(self, api, whose):
        of_bob = Token.objects.create(make_customer(username="bob"), name="till")[0].pk
        name = {"bob's": of_bob, "nobody's": uuid4(), "no id": "1"}[whose]

        answer = api.delete(f"{TOKENS}{name}/")

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert told(answer) == told(api.delete(f"{TOKENS}{uuid4()}/"))
        assert Token.objects.filter(pk=of_bob).exists()


class TestUse:
    @pytest.mark.parametrize("end", ["expired", "left", "revoked", "never was"])
    def test_ends_in_the_same_answer_once_it(self, ada, end):
        token = ask().json()["token"]
        if end == "expired":
            Token.objects.update(expiry=timezone.now())
        elif end == "left":
            get_user_model().objects.update(is_active=False)
        elif end == "revoked":
            Token.objects.all().delete()
        else:
            token = "shop_" + "0" * 64

        answer = program(f"Token {token}").get(ORDERS)

        assert refusal(answer) == (401, "invalid_token", "Token")
        assert told(answer) == told(program("Token x").get(ORDERS))

    @pytest.mark.parametrize(
        "authorization",
        [
            "",
            " ",
            "Token",
            "Token ",
            "Token a b",
            "Token a,Token b",
            "Token \xe9",
            "Token \0",
            "Bearer x",
            "Basic eDp4",
            "x",
        ],
    )
    @pytest.mark.parametrize("address", [ORDERS, "/api/v1/products/"])
    def test_is_refused_whatever_cookie_comes_along_with(self, ada, authorization, address):
        browser = APIClient(raise_request_exception=False)
        browser.force_login(ada)

        answer = browser.get(address, headers={"Authorization": authorization})

        assert refusal(answer) == (401, "not_authenticated", "Token")

    @pytest.mark.parametrize("name", ["token", "Authorization", "access_token"])
    def test_does_not_begin_in_the_address(self, ada, name):
        answer = APIClient().get(ORDERS, {name: f"Token {ask().json()['token']}"})

        assert refusal(answer) == (401, "not_authenticated", "Token")

    @pytest.mark.parametrize("scheme", ["Token", "token", "TOKEN "])
    def test_takes_the_scheme_in_any_case(self, ada, scheme):
        assert program(f"{scheme} {ask().json()['token']}").get(ORDERS).status_code == 200

    @pytest.mark.parametrize("must_sign", [None, False, True])
    def test_finds_whose_it_is(self, ada, must_sign):
        ada.email, ada.is_superuser = "ada@example.com", True
        ada.save()
        if must_sign is not None:
            Account.objects.create(user=ada, must_sign=must_sign)
        token, text = Token.objects.create(ada, name="till")

        found = Token.objects.find(digest=hash_token(text), now=timezone.now())

        assert (found, found.user, found.name) == (token, ada, "till")
        assert [getattr(found.user, field) for field in USER_FIELDS] == [getattr(ada, field) for field in USER_FIELDS]
        assert found.user.password == ada.password
        assert found.user.account.must_sign is bool(must_sign)

    def test_costs_one_statement(self, ada):
        Account.objects.create(user=ada)
        for _ in range(3):
            ask()
        Token.objects.filter(name="till").update(expiry=timezone.now() + timedelta(seconds=-1))
        api = api_of("ada")

        with counting_statements() as statements:
            assert api.get("/api/v1/nothing/").status_code == 404
            assert api.get(f"{TOKENS}?cursor=x").status_code == 400

        assert [statement["sql"].split()[0] for statement in statements] == ["SELECT"]
