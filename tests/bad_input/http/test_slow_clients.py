"""Row 76: clients that send slowly or not at all."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import cycle

import pytest

from tests.bad_input.http.impatient_worker import ImpatientWorker
from tests.bad_input.http.server import Client, Server, request
from tests.bad_input.scene import API, ORDERS, order_body

pytestmark = pytest.mark.django_db(transaction=True)

PRODUCTS = f"{API}products/"

CLIENTS_PER_BEGINNING = 10
"""More than the server has threads."""
BEGINNINGS = [
    b"",
    b"\r\n\r\n",
    b"GET /heal",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    request("POST", ORDERS, b"{", Content_Type="application/json", Content_Length="1000"),
    request("POST", "/admin/login/", b"a=", Content_Length="2000000"),
    request("POST", ORDERS, b"5\r\n{", Transfer_Encoding="chunked"),
    # Complete, from a client that waits for the server to close the connection.
    b"GET /healthz HTTP/1.0\r\n\r\n",
]


@pytest.fixture
def slow_clients(server: Server) -> Iterator[list[Client]]:
    """Clients that have begun a request and never finish it."""
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(CLIENTS_PER_BEGINNING * len(BEGINNINGS))]
        for client, beginning in zip(clients, cycle(BEGINNINGS)):
            client.sendall(beginning)
        yield clients


def test_row_76_slow_clients_delay_no_other_and_are_disconnected(server: Server, slow_clients):
    began = time.monotonic()

    waits = []
    while time.monotonic() < began + ImpatientWorker.request_seconds:
        sent_at = time.monotonic()
        assert server.send(request("GET", "/healthz")).status == 200
        waits.append(time.monotonic() - sent_at)
        for client in slow_clients:
            drip(client)

    assert max(waits) < 1
    assert max(client.seconds_until_closed(began) for client in slow_clients) < ImpatientWorker.request_seconds + 5


def test_row_76_a_slow_order_within_the_limit_is_accepted(server: Server, token):
    body = order_body()
    head = request(
        "POST",
        ORDERS,
        Authorization=f"Token {token}",
        Idempotency_Key="basket-1",
        Content_Type="application/json",
        Content_Length=str(len(body)),
    )
    parts = [head[:10], head[10:-2], head[-2:], body[:1], body[1:]]

    assert server.send(*parts, pause=0.05).status == 201


def test_row_76_expect_100_continue_is_answered(server: Server):
    with server.connect() as client:
        client.sendall(request("POST", PRODUCTS, Content_Length="2", Expect="100-continue"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")

        assert client.answer().status == 405


def test_row_76_pipelined_requests_are_answered_in_order(server: Server):
    get, post = request("GET", "/healthz"), request("POST", PRODUCTS, b"{}", Content_Length="2")
    with server.connect() as client:
        client.sendall(get + post + b"\r\n" + get + get[:20])
        answers = [client.answer().status for _ in range(3)]
        client.sendall(get[20:])
        answers.append(client.answer().status)

    assert answers == [200, 405, 200, 200]


def test_row_76_a_half_closed_connection_is_answered(server: Server):
    with server.connect() as client:
        client.sendall(request("GET", "/healthz"))
        client.shutdown(socket.SHUT_WR)

        assert client.answer().status == 200


def test_row_76_an_unfinished_request_gets_408(server: Server):
    with server.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")

        assert client.answer().status == 408


def drip(client: Client) -> None:
    with suppress(OSError):  # the connection may be closed
        client.send(b"a")
