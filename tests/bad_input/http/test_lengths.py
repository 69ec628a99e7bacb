"""Rows 7, 54, 60 and 73: lengths, repeated headers and methods, at a real server."""

import json
from collections.abc import Iterator

import pytest

from shop.http.error_codes import CATALOGUE
from tests.bad_input.http.server import Server, request
from tests.bad_input.rows import one_of, rows
from tests.bad_input.scene import ORDERS, order_body
from tests.snapshot import snapshot

pytestmark = pytest.mark.django_db(transaction=True)

BODY = order_body()


@pytest.fixture
def placing(token) -> dict[str, str]:
    """The headers of a valid request, except its length."""
    return {"Authorization": f"Token {token}", "Idempotency_Key": "basket-1", "Content_Type": "application/json"}


@pytest.fixture(autouse=True)
def _database_is_unchanged(token) -> Iterator[None]:
    before = snapshot()
    yield
    assert snapshot() == before


def post(headers: dict[str, str], body: bytes = BODY, **others: str) -> bytes:
    return request("POST", ORDERS, body, **headers | others)


def code_of(answer) -> str:
    """Return a problem's code, after checking that the response is the shop's and not the server's."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert answer.status == problem["status"] == CATALOGUE[problem["code"]].status
    return problem["code"]


@rows(
    "length, code",
    (7, "", "length_required"),
    (7, one_of("10", "0"), "malformed_json"),
    (7, one_of("65537", "3000000", "9" * 20), "body_too_large"),
    (7, one_of("9" * 5_000, f"{len(BODY)}, {len(BODY)}", "-1", "+10", "1_0", "0x10", "1e3", "ten"), None),
    (7, one_of("１０".encode().decode("latin-1"), "²".encode().decode("latin-1")), None),
)
def test_no_length_is(server: Server, placing, length, code):
    padding = b" " * max(0, int(length) - len(BODY)) if length in {"65537", "3000000"} else b""

    answer = server.send(post(placing, BODY + padding, Content_Length=length))

    assert code_of(answer) == code if code else answer.status == 400


@rows(
    "encoding, code",
    (7, one_of("chunked", "Chunked", "gzip, chunked"), "length_required"),
    (7, one_of("identity", "gzip", "x", "chunked, chunked", "\x0bchunked"), None),
)
def test_no_body_is_taken(server: Server, placing, encoding, code):
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)

    answer = server.send(post(placing, chunk, Transfer_Encoding=encoding))

    assert code_of(answer) == code if code else answer.status in {400, 501}


@rows(
    "headers",
    (7, {"Content-Length": "5", "Transfer-Encoding": "chunked"}),
    (7, {"Content-Length": "5", "content-length": "6"}),
    (7, {"Content-Length": "5", "content-length": "5"}),
    (7, {"Content-Length ": "5"}),
    (7, {"Content-Length": "5\r\n 6"}),
    (54, {"Content-Type": "application/json", "content-type": "text/plain"}),
    (54, {"X-InvalidSignature": "a\nContent-Length: 5"}),
    (54, {"X-InvalidSignature": "a\0b"}),
    (54, {"X InvalidSignature": "a"}),
    (54, {"": "a"}),
)
def test_no_head_has(server: Server, headers):
    answer = server.send(request("POST", ORDERS, b"{} {}", **headers))

    assert answer.status == 400


def test_row_7_a_body_that_is_too_long_gets_no_100_continue(server: Server, placing):
    answer = server.send(post(placing, b"", Content_Length="3000000", Expect="100-continue"))

    assert code_of(answer) == "body_too_large"
    assert answer.headers["connection"] == "close"


def test_row_7_bytes_after_the_body_are_another_request(server: Server, placing):
    with server.connect() as client:
        client.sendall(post(placing, BODY + b"\r\n\r\n", Content_Length="10"))

        first, second = client.answer(), client.answer()

    assert code_of(first) == "malformed_json"
    assert second.status == 400


def test_row_54_two_idempotency_keys_are_refused(server: Server, placing):
    placing = {"Idempotency-Key": "basket-2"} | placing  # another spelling of the same name is another header here

    answer = server.send(
        request("POST", ORDERS, BODY, **placing, idempotency_key="basket-3", Content_Length=str(len(BODY)))
    )

    assert code_of(answer) == "idempotency_key_invalid"


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_row_60_two_tokens_are_refused(server: Server, placing, token, name):
    two = request("POST", ORDERS, BODY, **placing, Content_Length=str(len(BODY))).replace(
        b"\r\n\r\n", f"\r\n{name}: Token {token}\r\n\r\n".encode(), 1
    )

    assert code_of(server.send(two)) == "not_authenticated"


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PROPFIND"])
def test_row_73_other_methods_are_refused(server: Server, placing, method):
    answer = server.send(request(method, ORDERS, **placing, Content_Length="0", X_Secret="is not sent back"))

    assert code_of(answer) == "method_not_allowed"
    assert b"not sent back" not in answer.body


@pytest.mark.parametrize(
    "line", ["get / HTTP/1.1", "G / HTTP/1.1", "GET / HTTP/3.0", "GET  / HTTP/1.1", "GET /\0 HTTP/1.1", "GET"]
)
def test_row_73_no_request_begins_with(server: Server, line):
    assert server.send(f"{line}\r\nHost: 127.0.0.1\r\n\r\n".encode()).status == 400
