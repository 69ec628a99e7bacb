"""
Rows 1 to 17: bodies that are not one unambiguous JSON object, at each URL that reads one.
"""

import bz2
import tracemalloc
import zlib

import pytest
from django.conf import settings

from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import KEYS, ORDERS, TOKENS, key, login, order_body
from tests.refusals import JSON, refused


@pytest.fixture
def readers(orders, signing_key) -> list[str]:
    """
    Each URL that reads a body.
    """
    return [ORDERS, f"{ORDERS}{orders['open']}/cancel/", TOKENS, KEYS, f"{KEYS}{signing_key.pk}/rotate/"]


def nested(levels: int, *, by: str = "[]") -> bytes:
    """
    Return an object with that many levels.
    """
    opening, closing = ('{"a":', "}") if by == "{}" else ("[", "]")
    return f'{{"a":{opening * (levels - 1)}1{closing * (levels - 1)}}}'.encode()


@rows(
    "body, code",
    (2, one_of(b'{"lines":[', b'{"lines"', b'{"a": "', b'{"a": 1,}', b"{'a': 1}", b'{"a": 01}'), "malformed_json"),
    (2, one_of(b'{"a": .5}', b'{"a": +1}', b'{"a": "tab\there"}', b'{"a": 1 // one\n}', b" "), "malformed_json"),
    (3, one_of(b"{} {}", b"{}\0", b"{}]"), "malformed_json"),
    (4, one_of(b"[]", b"[{}]", b"null", b'"x"', b"1", b"1e400", b"true"), "not_an_object"),
    (5, b"[" * 100_000, "body_too_large"),
    (5, one_of(b"[" * 60_000, b'{"a":' * 13_000, b"[" * 30_000 + b"]" * 30_000), "too_deep"),
    (6, one_of(nested(17), nested(17, by="{}")), "too_deep"),
    (7, one_of(b" " * (64 * 1024 + 1), b" " * 3_000_000), "body_too_large"),
    (7, b" " * (64 * 1024), "malformed_json"),
    (8, one_of(b"\xff", b'{"a": "\xff"}', b'{"a\xc3": 1}'), "invalid_utf8"),
    (8, one_of(b'{"a": "\xed\xa0\x80"}', b'{"a": "\xc0\x80"}'), "invalid_utf8"),
    (9, one_of("{}".encode("utf-16"), "{}".encode("utf-16-le"), "{}".encode("utf-32-be")), "malformed_json"),
    (9, b"\xef\xbb\xbf{}", "malformed_json"),
    (16, one_of(b'{"a": 1, "a": 1}', b'{"a": 1, "\\u0061": 2}'), "duplicate_key"),
    (16, b'{"lines": [{"quantity": 1, "quantity": 2}]}', "duplicate_key"),
    (17, one_of(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": [-Infinity]}'), "malformed_json"),
    (39, one_of(b'{"a": "\\u0000"}', b'{"a\\u0000": 1}'), "invalid_characters"),
    (40, one_of(b'{"a": "\\ud800"}', b'{"a": [{"\\udfff": 1}]}'), "invalid_characters"),
)
def test_rejects(api, readers, body, code):
    assert {refused(api, "POST", reader, body)["code"] for reader in readers} == {code}


@pytest.mark.parametrize("reader", [ORDERS, TOKENS, KEYS])
def test_row_1_rejects_an_empty_body(api, reader):
    assert refused(api, "POST", reader, b"")["code"] == "malformed_json"
    assert refused(api, "POST", reader, b"", Content_Type=JSON, Content_Length="0")["code"] == "malformed_json"


def test_row_6_accepts_sixteen_levels(api, readers):
    assert {refused(api, "POST", reader, nested(16))["code"] for reader in readers} == {"unknown_field"}


CHARSETS = ("zlib_codec", "bz2_codec", "utf-16", "rot13", "", "no-such", '"utf-7"')


@rows(
    "content_type, code",
    (11, one_of(*[f"application/json; charset={charset}" for charset in CHARSETS]), "unsupported_charset"),
    (13, one_of("text/plain", "application/x-www-form-urlencoded", "*/*", "json", ""), "unsupported_media_type"),
    (13, one_of("multipart/form-data; boundary=x", "application/vnd.api+json"), "unsupported_media_type"),
    (13, one_of("application/problem+json", "application/json/json", "application/json\xe9"), "unsupported_media_type"),
)
def test_rejects_the_content_type(api, readers, content_type, code):
    assert {refused(api, "POST", reader, b"{}", content_type=content_type)["code"] for reader in readers} == {code}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "identity, gzip", "x", ""])
def test_row_12_rejects_compression(api, readers, encoding):
    codes = {refused(api, "POST", reader, b"{}", Content_Encoding=encoding)["code"] for reader in readers}

    assert codes == {"unsupported_encoding"}


@pytest.mark.parametrize("accept", ["application/xml", "text/csv", "image/*", "x", ","])
def test_row_14_rejects_the_accept_header(api, accept):
    requests = [("POST", ORDERS, order_body()), ("POST", TOKENS, login()), ("POST", KEYS, key()), ("GET", ORDERS, b"")]

    assert {refused(api, *request, Accept=accept)["code"] for request in requests} == {"not_acceptable"}


@pytest.mark.parametrize(("codec", "pack"), [("zlib_codec", zlib.compress), ("bz2_codec", bz2.compress)])
def test_row_11_does_not_decompress_a_bomb(api, codec, pack):
    bomb = pack(b" " * 50_000_000)
    assert len(bomb) <= settings.MAX_BODY_BYTES
    tracemalloc.start()
    try:
        refused(api, "POST", ORDERS, bomb, content_type=f"application/json; charset={codec}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000
