"""Row 75: request heads beyond the server's limits."""

from tests.bad_input.http.server import Server, request
from tests.bad_input.rows import one_of, rows
from tests.processes import children_of


@rows(
    "head, status",
    (75, request("GET", "/healthz", X="x" * 8_189), 431),
    (75, request("GET", "/healthz", **{f"X-{number}": "1" for number in range(100)}), 431),
    (75, request("GET", f"/healthz?{'x' * 4_080}"), 414),
    (75, one_of(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 70_000, b"x" * 70_000), 431),
    (75, request("GET", "/healthz", X="x" * 8_000), 200),
    (75, request("GET", "/healthz", **{f"X-{number}": "1" for number in range(99)}), 200),
    (75, request("GET", f"/healthz?{'x' * 4_060}"), 200),
)
def test_a_server_reads_no(server: Server, head, status):
    workers = children_of(server.pid)

    assert server.send(head).status == status

    assert server.send(request("GET", "/healthz")).status == 200
    assert children_of(server.pid) == workers
