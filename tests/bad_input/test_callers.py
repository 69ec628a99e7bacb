"""
Rows 60 to 70: callers who do not prove who they are.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from shop.accounts.models import Account, Nonce, Token
from tests.bad_input.rows import rows
from tests.bad_input.scene import API, KEYS, ORDERS, TOKENS, key, wish
from tests.refusals import JSON, refused, send
from tests.signing import Signer, signer_of

FOR_CUSTOMERS = ["GET orders", "POST orders", "GET payments", "GET notifications", "GET tokens", "POST signing-keys"]
SENT = {"content-type": JSON, "idempotency-key": "basket-1"}

EndToken = Callable[[Token], object]


def program(authorization: str | None) -> Client:
    headers = {} if authorization is None else {"Authorization": authorization}
    return Client(headers={"Idempotency-Key": "basket-1"} | headers)


@rows(
    "authorization",
    *[
        (60, value)
        for value in (
            None,
            "",
            " ",
            "Token",
            "Token ",
            "Token a b",
            "Token  ",
            "Token {token} {token}",
            "{token}",
            "Token{token}",
            "Token\t{token}",
            "Token \xe9",
            "Token {token}\xa0",
            "Token \0",
            "Tok\xe9n {token}",
            "Bearer {token}",
            "Basic YWRhOmFkYQ==",
            "Digest username=ada",
            "Negotiate",
            "Token {token}, Token {token}",
        )
    ],
)
def test_nobody_is_known_by(token, authorization):
    stranger = program(authorization and authorization.format(token=token))

    for asked in FOR_CUSTOMERS:
        method, resource = asked.split()
        assert refused(stranger, method, f"{API}{resource}/", wish())["code"] == "not_authenticated"


@pytest.mark.parametrize("authorization", [None, "Token", "Token wrong"])
def test_row_60_tells_how_to_be_known(authorization):
    answer = send(program(authorization), "POST", ORDERS, wish())

    assert answer.headers["WWW-Authenticate"] == "Token"


ENDS: dict[str, EndToken] = {
    "revoked": lambda token: token.delete(),
    "expired": lambda token: Token.objects.filter(pk=token.pk).update(expiry=timezone.now() - timedelta(seconds=1)),
    "of who has left": lambda token: get_user_model().objects.filter(pk=token.user_id).update(is_active=False),
    "changed": lambda token: Token.objects.filter(pk=token.pk).update(digest="0" * 128),
}


def test_row_61_a_token_that_has_ended_is_refused_in_one_body(token):
    told = []
    for end in ENDS.values():
        ended, text = Token.objects.create(user=get_user_model().objects.get(username="ada"), name="till")
        end(ended)
        told.append(refused(program(f"Token {text}"), "POST", ORDERS, wish()))
        get_user_model().objects.update(is_active=True)

    assert {problem["code"] for problem in told} == {"invalid_token"}
    assert len({tuple(sorted({**problem, "request_id": ""}.items())) for problem in told}) == 1


@rows("text", *[(61, text) for text in ("wrong", "x" * 8_000, "'OR(1=1)", "{token},", "{token}x", "shop_", "%00")])
def test_no_token_is(token, text):
    stranger = program(f"Token {text.format(token=token)}")

    assert refused(stranger, "POST", ORDERS, wish())["code"] == "invalid_token"


@pytest.mark.parametrize("name", ["token", "access_token", "auth", "Authorization", "api_key"])
def test_row_62_no_token_is_read_from_the_address(token, name):
    assert refused(Client(), "GET", f"{ORDERS}?{name}={token}")["code"] == "not_authenticated"
    assert refused(Client(), "GET", f"{ORDERS}?{name}=Token%20{token}")["code"] == "not_authenticated"


def test_row_63_whoever_must_sign_signs(api):
    Account.objects.create(user=get_user_model().objects.get(username="ada"), must_sign=True)

    assert refused(api, "POST", ORDERS, wish())["code"] == "signature_required"
    assert refused(api, "GET", ORDERS)["code"] == "signature_required"


@pytest.fixture(params=["hmac-sha256", "ed25519"])
def signer(request, orders) -> Signer:
    """
    Ada's program, which signs.
    """
    return signer_of(get_user_model().objects.get(username="ada"), request.param, headers=SENT)


def changed(headers: dict[str, str], change: Callable[[str], str], name: str = "Signature") -> dict[str, str]:
    """
    Change a header as the client would send it, byte for byte.
    """
    told = {name.replace("-", "_"): value for name, value in headers.items() if name.lower() not in SENT}
    return told | {name.replace("-", "_"): change(headers[name]).encode().decode("latin-1")}


def flip(signature: str) -> str:
    at = signature.index(":") + 1
    return signature[:at] + ("B" if signature[at] == "A" else "A") + signature[at + 1 :]


@rows(
    "change",
    *[
        (64, change)
        for change in (
            flip,
            lambda value: value[:-10] + ":",
            lambda value: value[:-1],
            lambda value: value.upper(),
            lambda value: "sig1=:" + "AB" * 32 + ":",
            lambda value: value.replace(":", ": ", 1),
            lambda value: f" {value} x",
            lambda value: "",
            lambda value: " ",
            lambda value: value.replace(":", ":é", 1),
            lambda value: value + "\0",
            lambda value: "sha1=0123456789abcdef",
            lambda value: "sig1=::",
            lambda value: value.replace("sig1", "sig2"),
        )
    ],
)
def test_no_signature_is(api, signer, change):
    headers = changed(signer.sign("POST", ORDERS, wish()), change)

    problem = refused(api, "POST", ORDERS, wish(), **headers)

    assert (problem["code"], problem["detail"]) == ("invalid_signature", "The signature does not match this request.")


def test_row_64_another_key_is_a_wrong_key(api, signer):
    of_bob = signer_of(get_user_model().objects.get(username="bob"), headers=SENT)

    problem = refused(api, "POST", ORDERS, wish(), **changed(of_bob.sign("POST", ORDERS, wish()), str))

    assert (problem["code"], problem["detail"]) == ("invalid_signature", "The signature does not match this request.")


@rows(
    "created",
    *[
        (66, created)
        for created in ("{early}", "{late}", "1e9", "1_7{now}", "{now}000", "", '"{now}"', "{now}.0", "１７", "-{now}")
    ],
)
def test_no_moment_is(api, signer, created):
    now = int(timezone.now().timestamp())
    written = created.format(now=now, early=now - 302, late=now + 302)
    headers = signer.sign("POST", ORDERS, wish())
    described = changed(headers, lambda value: value.replace(f"created={now}", f"created={written}"), "Signature-Input")

    assert refused(api, "POST", ORDERS, wish(), **described)["code"] == "timestamp_out_of_tolerance"


@pytest.mark.parametrize("seconds", [-302, 302])
def test_row_66_a_good_signature_of_another_time_is_refused(api, signer, seconds):
    headers = signer.sign("POST", ORDERS, wish(), now=timezone.now() + timedelta(seconds=seconds))

    problem = refused(api, "POST", ORDERS, wish(), **changed(headers, str))

    assert problem["code"] == "timestamp_out_of_tolerance"


def test_row_67_a_request_is_not_taken_twice(api, signer):
    headers = changed(signer.sign("POST", ORDERS, wish()), str)
    assert send(api, "POST", ORDERS, wish(), **headers).status_code == 201
    assert Nonce.objects.count() == 1

    assert refused(api, "POST", ORDERS, wish(), **headers)["code"] == "replayed_request"


@pytest.mark.parametrize("path", [ORDERS, f"{ORDERS}{{open}}/cancel/", TOKENS, KEYS, f"{KEYS}{{key}}/rotate/"])
def test_row_70_a_session_is_not_enough_to_change_something(orders, signing_key, path):
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(get_user_model().objects.get(username="ada"))
    browser.credentials(HTTP_IDEMPOTENCY_KEY="basket-1")
    path = path.format(open=orders["open"], key=signing_key.pk)

    assert refused(browser, "POST", path, key())["code"] == "csrf_failed"
    assert refused(browser, "POST", path, key(), X_CSRFToken="c" * 32)["code"] == "csrf_failed"
    browser.cookies[settings.CSRF_COOKIE_NAME] = "c" * 32
    assert refused(browser, "POST", path, key(), X_CSRFToken="d" * 32)["code"] == "csrf_failed"
    foreign = {"X_CSRFToken": "c" * 32, "Origin": "https://evil.example"}
    assert refused(browser, "POST", path, key(), **foreign)["code"] == "csrf_failed"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_row_70_nor_is_a_form_from_a_foreign_page(orders, content_type):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(get_user_model().objects.get(username="ada"))
    path = f"{ORDERS}{orders['open']}/cancel/"

    problem = refused(browser, "POST", path, b"a=1", content_type=content_type, Origin="https://evil.example")

    assert problem["code"] in {"csrf_failed", "unsupported_media_type"}
