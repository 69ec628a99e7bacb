import http.client
import socket

import pytest

from payments.simulator.server import Simulator
from tests.payments.simulator.bench import Bench
from tests.simulators import ApiClient, running


def status_line(simulator: Simulator, request: bytes) -> bytes:
    """
    Send these bytes, and return the first line of the response.
    """
    host, port = simulator.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").readline().strip()


class TestErrors:
    @pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1//charges", "/v2/charges", "/v1/charges/a/b/c", "/%ff"])
    def test_unknown_paths_are_json(self, standing: Simulator, path: str) -> None:
        response = ApiClient(standing.address).get(path)

        assert (response.status_code, response.json()) == (404, {"error": "not_found"})

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", "/v1/charges", {"POST"}),
            ("DELETE", "/v1/charges/charge-1", {"GET", "HEAD"}),
            ("POST", "/v1/statement", {"GET", "HEAD"}),
            ("PUT", "/", {"GET", "HEAD"}),
            ("GET", "/payments/charge-1/approve", {"POST"}),
        ],
    )
    def test_other_methods_name_the_allowed_ones(
        self, standing: Simulator, method: str, path: str, allowed: set[str]
    ) -> None:
        connection = http.client.HTTPConnection(standing.address.removeprefix("http://"))
        connection.request(method, path)
        response = connection.getresponse()

        assert (response.status, set(response.headers["Allow"].split(", "))) == (405, allowed)
        connection.close()

    @pytest.mark.parametrize("length", [b"-1", b"much", b"99", b"9" * 40, "²".encode()])
    def test_wrong_content_lengths_are_rejected(self, standing: Simulator, length: bytes) -> None:
        head = b"POST /v1/charges HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: a\r\nContent-Length: "

        assert status_line(standing, head + length + b"\r\n\r\n{}").startswith(b"HTTP/1.0 4")

    def test_long_chunked_bodies_are_rejected(self, standing: Simulator) -> None:
        pieces = (b" " * 10_000 for _ in range(10))

        response = ApiClient(standing.address).post("/v1/charges", data=pieces, headers={"Idempotency-Key": "a"})

        assert (response.status_code, response.json()["error"]) == (413, "body_too_large")


class TestHeaders:
    def test_forbid_scripts_frames_and_caches(self, standing: Simulator) -> None:
        headers = ApiClient(standing.address).get("/").headers

        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        assert headers["Server"] == "payment-simulator"


class TestHosts:
    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "192.0.2.1", "["])
    def test_others_are_rejected(self, standing: Simulator, host: str) -> None:
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

        assert status_line(standing, request).startswith(b"HTTP/1.0 421")

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8010", "[::1]:8010", "LOCALHOST:1"])
    def test_this_machine_is_accepted(self, standing: Simulator, host: str) -> None:
        assert status_line(standing, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()) == b"HTTP/1.0 200 OK"

    @pytest.mark.parametrize(("host", "status"), [("simulator:8010", 200), ("192.0.2.1", 200), ("evil.example", 421)])
    def test_without_a_dot_are_accepted_when_it_serves_all_addresses(self, host: str, status: int) -> None:
        with running(address="0.0.0.0") as simulator:
            assert ApiClient(simulator.address).get("/", headers={"Host": host}).status_code == status

    @pytest.mark.parametrize(("host", "status"), [("simulator.example", 200), ("evil.example", 421)])
    def test_a_configured_name_is_accepted(self, host: str, status: int) -> None:
        with running(host="Simulator.example") as simulator:
            assert ApiClient(simulator.address).get("/", headers={"Host": host}).status_code == status


class TestOrigins:
    @pytest.fixture(autouse=True)
    def _is_pending(self, bench: Bench) -> None:
        bench.charge("tok_pending")

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
    def test_of_other_sites_change_nothing(self, client: ApiClient, headers: dict, path: str) -> None:
        response = client.post(path, headers=headers)

        assert (response.status_code, response.json()["error"]) == (403, "foreign_origin")
        assert client.status() == "processing"

    def test_of_its_own_pages_are_accepted(self, client: ApiClient) -> None:
        headers = {"Origin": client.address, "Sec-Fetch-Site": "same-origin"}

        assert client.post("/payments/charge-1/approve", headers=headers).status_code == 303
        assert client.status() == "succeeded"
