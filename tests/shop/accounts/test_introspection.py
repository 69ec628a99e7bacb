"""
The endpoint that tells other services whose credentials are valid (RFC 7662).
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from shop.accounts.models import Account, Nonce, Token
from shop.http.signatures import SignedMessage
from tests.callers import ORDERS, throttled
from tests.factories import PASSWORD, CustomerFactory, api_of
from tests.refusals import problem_of
from tests.signing import ORDER_BODY, SENT, Signer, signer_of

pytestmark = pytest.mark.django_db

SECRET = "a-secret-of-all-services-of-a-shop"
BEARER = {"Authorization": f"Bearer {SECRET}"}
FORM = "application/x-www-form-urlencoded"
INACTIVE = {"active": False}


@pytest.fixture(autouse=True)
def _secret(settings):
    settings.SERVICE = replace(settings.SERVICE, introspection_secret=SECRET)


@pytest.fixture
def token(ada) -> str:
    return Token.objects.create(user=ada, name="till")[1]


@pytest.fixture
def browser(ada) -> Client:
    """
    A browser in which Ada is logged in.
    """
    browser = Client()
    assert browser.login(username="ada", password=PASSWORD)
    return browser


def post(body: str, *, content_type: str = FORM, **headers: str) -> Any:
    return Client().generic("POST", "/api/v1/introspect/", body, content_type, headers=BEARER | headers)


def introspect(**parameters: str) -> dict[str, Any]:
    answer = post(urlencode(parameters))
    assert answer.status_code == 200, answer.content
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()


def signed_request(signer: Signer, body: bytes = ORDER_BODY, **options: Any) -> str:
    """
    Return the parameter with a request that a service has received.
    """
    headers = signer.sign("POST", ORDERS, body, **options)
    received = APIRequestFactory().generic("POST", ORDERS, body, SENT["Content-Type"], headers=headers)
    return msgspec.json.encode(SignedMessage.of(Request(received))).decode()


class TestToken:
    def test_is_active_and_has_the_facts_about_its_user(self, ada, token):
        ada.is_staff = True
        ada.save()
        Account.objects.create(user=ada, language="de")

        answer = introspect(token=token, token_type_hint="access_token")

        assert answer == {
            "active": True,
            "sub": str(ada.pk),
            "username": "ada",
            "exp": int(Token.objects.get().expiry.timestamp()),
            "is_staff": True,
            "language": "de",
        }
        assert introspect(token=token) == answer

    @pytest.mark.parametrize("end", ["revoked", "expired", "inactive user"])
    def test_is_not_active_after_its_end(self, ada, token, end):
        if end == "revoked":
            Token.objects.all().delete()
        elif end == "expired":
            Token.objects.update(expiry=timezone.now() - timedelta(seconds=1))
        else:
            ada.is_active = False
            ada.save()

        assert introspect(token=token) == INACTIVE

    def test_is_not_active_if_it_is_none(self, browser):
        assert introspect(token="unknown") == introspect(token="") == INACTIVE
        assert introspect(token=browser.session.session_key) == INACTIVE

    def test_of_an_account_that_requires_signatures_is_not_active_without_one(self, ada, token):
        Account.objects.create(user=ada, must_sign=True)

        assert introspect(token=token) == INACTIVE | {"code": "signature_required"}


class TestSession:
    def introspect(self, browser: Client) -> dict[str, Any]:
        return introspect(token=browser.cookies["sessionid"].value, token_type_hint="session")

    def test_is_active_and_has_the_facts_about_its_user(self, ada, browser):
        ada.is_superuser = True
        ada.save()

        assert self.introspect(browser) == {
            "active": True,
            "sub": str(ada.pk),
            "username": "ada",
            "is_superuser": True,
        }

    @pytest.mark.parametrize("end", ["logout", "expired", "inactive user", "password changed"])
    def test_is_not_active_after_its_end(self, ada, browser, end):
        if end == "logout":
            browser.post("/api/auth/logout/")
            browser.cookies["sessionid"] = "the key of a session that was deleted"
        elif end == "expired":
            Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
        elif end == "inactive user":
            ada.is_active = False
        else:
            ada.set_password("four green chairs")
        ada.save()

        assert self.introspect(browser) == INACTIVE

    def test_of_a_guest_is_not_active(self, token):
        guest = Client()
        guest.session.save()

        assert introspect(token=guest.session.session_key or "", token_type_hint="session") == INACTIVE
        assert introspect(token=token, token_type_hint="session") == INACTIVE

    def test_stays_as_it_is_while_a_secret_key_is_rotated(self, browser, settings):
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the next secret key", [settings.SECRET_KEY]
        before = list(Session.objects.values())

        assert self.introspect(browser)["active"]
        assert list(Session.objects.values()) == before


class TestSignedRequest:
    @pytest.mark.parametrize("algorithm", ["hmac-sha256", "ed25519"])
    def test_is_active_once(self, ada, token, algorithm):
        Account.objects.create(user=ada, must_sign=True)
        signed = signed_request(signer_of(ada, algorithm, headers=SENT))

        first, second = (introspect(token=token, signed_request=signed) for _ in range(2))

        assert first["active"]
        assert second == INACTIVE | {"code": "replayed_request"}
        assert Nonce.objects.count() == 1

    def test_of_an_unknown_token_keeps_its_nonce(self, ada):
        signed = signed_request(signer_of(ada, headers=SENT))

        assert introspect(token="unknown", signed_request=signed) == INACTIVE
        assert not Nonce.objects.exists()

    def test_signed_by_another_user_is_not_active(self, ada, token):
        signed = signed_request(signer_of(CustomerFactory(username="bob"), headers=SENT))

        assert introspect(token=token, signed_request=signed) == INACTIVE | {"code": "invalid_signature"}

    def test_signed_too_long_ago_is_not_active(self, ada, token):
        signed = signed_request(signer_of(ada, headers=SENT), now=timezone.now() - timedelta(minutes=6))

        assert introspect(token=token, signed_request=signed) == INACTIVE | {"code": "timestamp_out_of_tolerance"}

    @pytest.mark.parametrize(
        "change",
        [
            {"method": "PUT"},
            {"url": f"http://testserver{ORDERS}?dry=1"},
            {"headers": {}},
            {"idempotency-key": "basket-2"},
            {"content-digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"},
        ],
    )
    def test_that_was_changed_is_not_active(self, ada, token, change):
        signed = msgspec.json.decode(signed_request(signer_of(ada, headers=SENT)))
        fields = {name: value for name, value in change.items() if name in signed}
        signed["headers"] |= {name: value for name, value in change.items() if name not in signed}

        answer = introspect(token=token, signed_request=msgspec.json.encode(signed | fields).decode())

        assert answer == INACTIVE | {"code": "invalid_signature"}

    def test_with_a_body_must_cover_its_digest(self, ada, token):
        signed = signed_request(signer_of(ada), b"")
        with_body = msgspec.json.decode(signed) | {"has_body": True}

        assert introspect(token=token, signed_request=signed)["active"]
        assert introspect(token=token, signed_request=msgspec.json.encode(with_body).decode()) == INACTIVE | {
            "code": "invalid_signature"
        }


class TestService:
    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Token {SECRET}", f"bearer {SECRET}", "\xff"])
    def test_is_rejected_without_the_secret(self, token, header):
        answer = post(urlencode({"token": token}), Authorization=header)

        assert (answer.status_code, problem_of(answer)["code"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_finds_no_endpoint_in_a_shop_without_a_secret(self, token, settings):
        settings.SERVICE = replace(settings.SERVICE, introspection_secret="")

        for header in ("Bearer ", "Bearer", BEARER["Authorization"]):
            assert post(urlencode({"token": token}), Authorization=header).status_code == 404

    def test_with_a_wrong_secret_closes_the_api_to_its_address_but_never_to_one_with_the_right_secret(
        self, token, limits
    ):
        limits(failures_per_minute=2)
        ada, body = api_of("ada"), urlencode({"token": token})

        guesses = [post(body, Authorization="Bearer wrong").status_code for _ in range(4)]

        assert guesses == [401, 401, 429, 429]
        assert throttled(ada.get(ORDERS)) == 60
        assert introspect(token=token)["active"]

    def test_is_not_limited_in_its_requests(self, token, limits):
        limits(address_per_minute=1, account_per_minute=1, failures_per_minute=1)

        assert [introspect(token="unknown") for _ in range(3)] == [INACTIVE] * 3

    @pytest.mark.parametrize(
        "body",
        ["", "token_type_hint=session", "token=a&token=b", "token=a&signed_request={", "token=a&signed_request={}"],
    )
    def test_sends_each_parameter_once_and_well_formed(self, body):
        answer = post(body)

        assert (answer.status_code, problem_of(answer)["code"]) == (400, "bad_request")

    @pytest.mark.parametrize(
        ("content_type", "code"),
        [("application/json", "unsupported_media_type"), (f"{FORM}; charset=latin-1", "unsupported_charset")],
    )
    def test_sends_a_form_in_utf_8(self, content_type, code):
        assert problem_of(post("{}", content_type=content_type))["code"] == code
