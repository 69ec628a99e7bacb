"""
A server of HTTP that answers what a test has written down for it, and remembers what it was asked.
"""

import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self


class Asked(NamedTuple):
    method: str
    path: str
    key: str | None = None
    body: dict[str, Any] | None = None


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "ScriptedServer"

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.client_address)

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.headers.get("Idempotency-Key")
        self.server.asked.append(Asked(self.command, self.path, key, json.loads(sent) if sent else None))
        script = self.server.script
        (script.popleft() if script else answering(status="succeeded"))(self)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None: ...


Reply = Callable[[_Exchange], None]


class ScriptedServer(ThreadingHTTPServer):
    """
    Answer each request by the next reply of `script`, and by success when there is none left.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.script: deque[Reply] = deque()
        self.asked: list[Asked] = []
        self.connections: list[Any] = []
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """
        Listen no more.
        """
        self.closed.set()
        self.shutdown()
        self.server_close()


def answering(code: int = 200, *, raw: bytes | None = None, location: str = "", **state: Any) -> Reply:
    """
    Answer with this status, and this state of a charge or these bytes.
    """
    body = json.dumps(state).encode() if raw is None else raw

    def reply(exchange: _Exchange) -> None:
        exchange.send_response(code)
        exchange.send_header("Content-Length", str(len(body)))
        if location:
            exchange.send_header("Location", location)
        exchange.end_headers()
        exchange.wfile.write(body)

    return reply


def hanging_up(after: bytes = b"") -> Reply:
    """
    Close the connection after these bytes.
    """

    def reply(exchange: _Exchange) -> None:
        exchange.wfile.write(after)
        exchange.wfile.flush()
        exchange.close_connection = True
        exchange.connection.shutdown(socket.SHUT_RDWR)

    return reply


def hanging(after: bytes = b"") -> Reply:
    """
    Say these bytes, and nothing more until the server is closed.
    """

    def reply(exchange: _Exchange) -> None:
        exchange.wfile.write(after)
        exchange.wfile.flush()
        exchange.server.closed.wait()
        exchange.close_connection = True

    return reply
