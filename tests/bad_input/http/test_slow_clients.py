"""
Row 76: clients that send slowly, or nothing, and wait.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import cycle

import pytest

from tests.bad_input.http.haste import HastyWorker
from tests.bad_input.http.server import Client, Server, request
from tests.bad_input.scene import API, ORDERS, wish

pytestmark = pytest.mark.django_db(transaction=True)

PRODUCTS = f"{API}products/"

OF_A_KIND = 10
"""More than there are threads."""
BEGINNINGS = [
    b"",
    b"\r\n\r\n",
    b"GET /heal",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    request("POST", ORDERS, b"{", Content_Type="application/json", Content_Length="1000"),
    request("POST", "/admin/login/", b"a=", Content_Length="2000000"),
    request("POST", ORDERS, b"5\r\n{", Transfer_Encoding="chunked"),
    # A whole one, by somebody who waits for the server to hang up.
    b"GET /healthz HTTP/1.0\r\n\r\n",
]


@pytest.fixture
def crowd(server: Server) -> Iterator[list[Client]]:
    """
    Clients who have all begun, and go on so slowly that they never end.
    """
    with ExitStack() as stack:
        crowd = [stack.enter_context(server.connect()) for _ in range(OF_A_KIND * len(BEGINNINGS))]
        for client, beginning in zip(crowd, cycle(BEGINNINGS)):
            client.sendall(beginning)
        yield crowd


def test_row_76_slow_clients_hold_up_nobody_and_are_sent_away(server: Server, crowd):
    began = time.monotonic()

    waits = []
    while time.monotonic() < began + HastyWorker.request_seconds:
        asked = time.monotonic()
        assert server.ask(request("GET", "/healthz")).status == 200
        waits.append(time.monotonic() - asked)
        for client in crowd:
            drip(client)

    assert max(waits) < 1
    assert max(client.seconds_until_closed(began) for client in crowd) < HastyWorker.request_seconds + 5


def test_row_76_a_slow_order_is_taken_as_long_as_it_comes_in_time(server: Server, token):
    body = wish()
    head = request(
        "POST",
        ORDERS,
        Authorization=f"Token {token}",
        Idempotency_Key="basket-1",
        Content_Type="application/json",
        Content_Length=str(len(body)),
    )
    parts = [head[:10], head[10:-2], head[-2:], body[:1], body[1:]]

    assert server.ask(*parts, pause=0.05).status == 201


def test_row_76_who_is_asked_to_go_on_goes_on(server: Server):
    with server.connect() as client:
        client.sendall(request("POST", PRODUCTS, Content_Length="2", Expect="100-continue"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")

        assert client.answer().status == 405


def test_row_76_requests_that_come_together_are_answered_one_by_one(server: Server):
    get, post = request("GET", "/healthz"), request("POST", PRODUCTS, b"{}", Content_Length="2")
    with server.connect() as client:
        client.sendall(get + post + b"\r\n" + get + get[:20])
        answers = [client.answer().status for _ in range(3)]
        client.sendall(get[20:])
        answers.append(client.answer().status)

    assert answers == [200, 405, 200, 200]


def test_row_76_who_says_that_nothing_follows_is_answered(server: Server):
    with server.connect() as client:
        client.sendall(request("GET", "/healthz"))
        client.shutdown(socket.SHUT_WR)

        assert client.answer().status == 200


def test_row_76_who_never_ends_is_told_why(server: Server):
    with server.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")

        assert client.answer().status == 408


def drip(client: Client) -> None:
    with suppress(OSError):  # whoever was sent away cannot
        client.send(b"a")
