import http.client
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from payments.simulator.server import Conduct, Simulator, listen
from tests.payments.simulator.benches import NOBODY, SECRET, Client

Start = Callable[..., Simulator]


def ask(simulator: Simulator, request: bytes) -> bytes:
    """
    Send these very bytes, and return the line of the status.
    """
    host, port = simulator.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as visitor:
        visitor.sendall(request)
        visitor.shutdown(socket.SHUT_WR)
        return visitor.makefile("rb").readline().strip()


class TestRoutes:
    @pytest.mark.parametrize("path", ["/v1", "/v1/", "/v2/charges", "/v1/charges/a/b/c", "/admin", "/%ff"])
    def test_end_where_nothing_is(self, standing: Simulator, path: str) -> None:
        answer = Client(standing.address).get(path)

        assert (answer.status_code, answer.json()) == (404, {"error": "not_found"})

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", "/v1/charges", "POST"),
            ("DELETE", "/v1/charges/charge-1", "GET, HEAD"),
            ("POST", "/v1/statement", "GET, HEAD"),
            ("PUT", "/", "GET, HEAD"),
            ("GET", "/payments/charge-1/approve", "POST"),
        ],
    )
    def test_name_the_methods_that_work(self, standing: Simulator, method: str, path: str, allowed: str) -> None:
        connection = http.client.HTTPConnection(standing.address.removeprefix("http://"))
        connection.request(method, path)
        answer = connection.getresponse()

        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        connection.close()

    @pytest.mark.parametrize("length", [b"-1", b"much", b"9" * 40, "²".encode()])
    def test_refuse_lengths_that_are_none(self, standing: Simulator, length: bytes) -> None:
        head = b"POST /v1/charges HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a\r\nContent-Length: "

        assert ask(standing, head + length + b"\r\n\r\n{}") == b"HTTP/1.0 400 Bad Request"

    def test_refuse_half_a_body(self, standing: Simulator) -> None:
        head = b"POST /v1/charges HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a\r\nContent-Length: 99\r\n\r\n{}"

        assert ask(standing, head) == b"HTTP/1.0 400 Bad Request"

    def test_keep_pages_from_being_framed_or_kept(self, standing: Simulator) -> None:
        headers = Client(standing.address).get("/").headers

        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


class TestHosts:
    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "192.0.2.1", "["])
    def test_of_others_are_refused(self, standing: Simulator, host: str) -> None:
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

        assert ask(standing, request).startswith(b"HTTP/1.0 421")

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8010", "[::1]:8010", "LOCALHOST:1"])
    def test_of_this_machine_are_served(self, standing: Simulator, host: str) -> None:
        assert ask(standing, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()) == b"HTTP/1.0 200 OK"

    @pytest.mark.parametrize(("host", "status"), [("simulator:8010", 200), ("192.0.2.1", 200), ("evil.example", 421)])
    def test_without_a_dot_are_served_to_a_whole_network(self, start: Start, host: str, status: int) -> None:
        simulator = start(host="0.0.0.0")

        assert Client(simulator.address).get("/", headers={"Host": host}).status_code == status

    def test_that_were_named_are_served(self, ledger_path: Path) -> None:
        listener = listen("127.0.0.1", 0)
        conduct = Conduct(callback_url=NOBODY, secrets=[SECRET], host="Simulator.example")
        simulator = Simulator(listener, ledger_path, conduct)
        simulator.start()

        answers = [
            Client(simulator.address).get("/", headers={"Host": f"{host}.example"}) for host in ("simulator", "evil")
        ]

        assert [answer.status_code for answer in answers] == [200, 421]
        simulator.stop()


class TestOrigins:
    @pytest.fixture
    def simulator(self, start: Start) -> Simulator:
        return start()

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    @pytest.mark.parametrize("path", ["/payments/charge-1/approve", "/v1/charges/charge-1/cancel"])
    def test_of_others_press_nothing(self, simulator: Simulator, headers: dict, path: str) -> None:
        client = Client(simulator.address)
        client.charge(token="tok_pending")

        answer = client.post(path, headers=headers)

        assert (answer.status_code, answer.json()["error"]) == (403, "foreign_origin")
        assert client.status() == "processing"

    def test_of_its_own_pages_press_buttons(self, simulator: Simulator) -> None:
        client = Client(simulator.address)
        client.charge(token="tok_pending")

        ours = {"Origin": simulator.address, "Sec-Fetch-Site": "same-origin"}

        assert client.post("/payments/charge-1/approve", headers=ours).status_code == 303
        assert client.status() == "succeeded"
