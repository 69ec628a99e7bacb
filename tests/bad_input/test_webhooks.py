"""
Rows C4, C5, C12 and C17: webhooks that the payment gateway has not signed, or that are no webhooks. Valid ones are in
tests/payments/webhooks/test_api.py.
"""

import json
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings as shop
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from shop.accounts.services import create_key
from tests.bad_input.rows import one_of, rows
from tests.refusals import JSON, refused
from tests.signing import signer_of
from tests.webhooks import SECRET, WEBHOOKS, event, refusal, signed

INVALID = ("invalid_signature", "No webhook secret verifies the signature.")
OTHER_SECRET = "whsec_" + b64encode(b"another gateway's secret").decode()


@rows(
    "name, value",
    ("C4", one_of(*signed(b"")), one_of(None, "", " ", "\xe9", "\0", "x" * 8_000)),
    ("C4", "webhook-id", one_of("evt_2", "EVT_1", "evt_1 ", "evt_1,evt_1", "evt_1\0")),
    ("C4", "webhook-timestamp", one_of("{later}", "{now} ", "+{now}", "{now}.0", "0{now}", "{now},{now}")),
    ("C4", "webhook-signature", one_of("{code}", "v1", "v1,", ",", "v1,{flipped}", "v1,{code}x", "v1,{code}\xe9")),
    ("C4", "webhook-signature", one_of("v1, {code}", "v1,{bare}", "v1,{upper}", "V1,{code}", "v0,{code}", "v2,{code}")),
    ("C4", "webhook-signature", one_of("v1a,{code}", "v1={code}", "sha256={code}", "t={now},v1={code}")),
    ("C4", "webhook-signature", one_of("v1,{flipped} v1,{flipped}", "v1,{flipped},v1,{code}")),
    ("C4", "webhook-signature", one_of("v1,{flipped}\tv1,{code}", SECRET, f"v1,{SECRET}", "whsec_{code}")),
    ("C4", "webhook-signature", one_of("v1," + SECRET.removeprefix("whsec_"), "v1," * 2_600, "v1, " * 2_000)),
)
def test_rejects_the_header(gateway, name, value):
    headers = signed(event())
    code, now = headers["webhook-signature"].removeprefix("v1,"), headers["webhook-timestamp"]
    flipped = ("B" if code[0] == "A" else "A") + code[1:]
    parts = {"code": code, "flipped": flipped, "bare": code.rstrip("="), "upper": code.upper()}
    changed = {} if value is None else {name: value.format(**parts, now=now, later=int(now) + 1)}

    assert refusal(gateway, event(), {other: headers[other] for other in headers if other != name} | changed) == INVALID


@rows("event_id", ("C4", one_of("", " ", "evt 1", "evt_1\n", "evt.1", "évt_1", "e" * 256, "evt\0", "\x7f")))
def test_rejects_the_event_id(gateway, event_id):
    headers = signed(event(), event_id=event_id)

    assert refusal(gateway, event(), headers | {"webhook-id": event_id.encode().decode("latin-1")}) == INVALID


@rows(
    "timestamp",
    ("C4", one_of("{now}.0", "1e9", "1_795339800", "-{now}", "+{now}", "{now}000", " {now}", "0x6b", "NaN", "0")),
    ("C4", one_of("１７９５３３９８００", "٠١٢٣٤٥٦٧٨٩", "2026-11-22T09:30:00Z", "9" * 5_000)),
)
def test_rejects_the_timestamp(gateway, timestamp):
    headers = signed(event(), timestamp=timestamp.format(now=int(timezone.now().timestamp())))
    sent = headers["webhook-timestamp"].encode().decode("latin-1")

    assert refusal(gateway, event(), headers | {"webhook-timestamp": sent}) == INVALID


@rows(
    "body",
    ("C4", one_of(event()[:-1] + b"]", event() + b"\n", b"\xef\xbb\xbf" + event(), event() + b"\xff")),
    ("C4", one_of(event().replace(b"4500", b"4501"), event().replace(b": ", b":"))),
    ("C4", one_of(json.dumps(json.loads(event()), sort_keys=True).encode(), b"{}", b"not even JSON", b"")),
)
def test_rejects_the_changed_body(gateway, body):
    assert refusal(gateway, body, signed(event()), Content_Type=JSON) == INVALID


def test_row_c4_rejects_every_flipped_bit(gateway):
    body, headers = bytearray(event()), signed(event())
    for at in range(0, 8 * len(body), 61):
        body[at // 8] ^= 1 << at % 8
        assert refusal(gateway, bytes(body), headers) == INVALID
        body[at // 8] ^= 1 << at % 8


@rows(
    "secret",
    ("C4", one_of(OTHER_SECRET, shop.INSECURE_WEBHOOK_SECRET, "")),
    ("C4", one_of(*[b64encode(text.encode()).decode() for text in (SECRET, SECRET[6:], shop.SECRET_KEY)])),
)
def test_rejects_the_secret(gateway, secret):
    assert refusal(gateway, event(), signed(event(), secret=secret)) == INVALID


def test_row_c4_rejects_a_customers_signing_key(gateway, token):
    ada = get_user_model().objects.get(username="ada")
    _, secret = create_key(owner=ada, name="till", algorithm="hmac-sha256", now=timezone.now())
    hers = signer_of(ada, headers={"content-type": JSON}).sign("POST", WEBHOOKS, event())
    known = {"Authorization": f"Token {token}"} | {name: hers[name] for name in ("Signature", "Signature-Input")}

    assert refusal(gateway, event(), signed(event(), secret=secret)) == INVALID
    assert refusal(gateway, event(), known) == INVALID


def test_row_c4_rejects_all_for_a_gateway_without_webhooks(gateway, settings):
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway="payments.gateway.adapters.instant.InstantGateway")

    assert refusal(gateway, event(), signed(event())) == INVALID


@rows("seconds", ("C5", one_of(-302, 302, -86_400, 86_400, -700_000_000)))
def test_rejects_the_time_of_signing(gateway, seconds):
    headers = signed(event(), at=timezone.now() + timedelta(seconds=seconds))

    assert refusal(gateway, event(), headers)[0] == "timestamp_out_of_tolerance"


@rows(
    "size, code",
    ("C12", one_of(20_001, 64 * 1024, 64 * 1024 + 1, 3_000_000), "body_too_large"),
    ("C12", 20_000, "malformed_event"),
)
def test_limits_the_size_to(gateway, size, code):
    body = b" " * size

    assert refusal(gateway, body, signed(body))[0] == code


@rows("method", ("C17", one_of("GET", "PUT", "PATCH", "DELETE", "TRACE", "BREW")))
def test_allows_no_other_method(gateway, method):
    assert refused(gateway, method, WEBHOOKS, event())["code"] == "method_not_allowed"


@rows(
    "content_type, code",
    ("C17", one_of("application/x-www-form-urlencoded", "multipart/form-data; boundary=x"), "unsupported_media_type"),
    ("C17", one_of("text/plain", "", "*/*", "json", "application/cloudevents+json"), "unsupported_media_type"),
    ("C17", one_of(*[JSON + f"; charset={name}" for name in ("utf-16", "utf-7", "zlib_codec")]), "unsupported_charset"),
)
def test_rejects_the_content_type(gateway, content_type, code):
    assert refusal(gateway, event(), signed(event()), content_type=content_type)[0] == code
    assert refusal(gateway, event(), {}, content_type=content_type)[0] == code


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "identity, gzip", "x", ""])
def test_row_c17_rejects_compression(gateway, encoding):
    assert refusal(gateway, event(), signed(event()), Content_Encoding=encoding)[0] == "unsupported_encoding"


@pytest.mark.parametrize("accept", ["application/xml", "text/html", "x"])
def test_row_c17_responds_in_json_only(gateway, accept):
    assert refusal(gateway, event(), signed(event()), Accept=accept)[0] == "not_acceptable"


@pytest.mark.parametrize("csrf", [True, False])
def test_row_c17_rejects_a_session(gateway, settings, csrf):
    browser = Client(enforce_csrf_checks=csrf)
    browser.force_login(get_user_model().objects.get(username="ada"))
    browser.cookies[settings.CSRF_COOKIE_NAME] = "c" * 32

    assert refusal(browser, event(), {"X-CSRFToken": "c" * 32, "Origin": "http://testserver"}) == INVALID
