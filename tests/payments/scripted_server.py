"""
An HTTP server that responds as a test has scripted, and records the requests.
"""

import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class RecordedRequest:
    method: str
    path: str
    key: str | None = None
    body: dict[str, Any] | None = None
    content: bytes = field(default=b"", compare=False)
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)
    """By names in lower case."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "ScriptedServer"

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.client_address)

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        key, body = headers.get("idempotency-key"), json.loads(content) if content else None
        self.server.requests.append(RecordedRequest(self.command, self.path, key, body, content, headers))
        script = self.server.script
        (script.popleft() if script else responding(status="succeeded"))(self)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None: ...


ScriptedResponse = Callable[[_Handler], None]


class ScriptedServer(ThreadingHTTPServer):
    """
    Respond to each request by the next response of `script`, or by success when none is left.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.script: deque[ScriptedResponse] = deque()
        self.requests: list[RecordedRequest] = []
        self.connections: list[Any] = []
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.closed.set()
        self.shutdown()
        self.server_close()


def responding(code: int = 200, *, raw: bytes | None = None, location: str = "", **state: Any) -> ScriptedResponse:
    """
    Respond with this status, and with this state of a charge or these bytes.
    """
    body = json.dumps(state).encode() if raw is None else raw

    def respond(handler: _Handler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(body)))
        if location:
            handler.send_header("Location", location)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def disconnecting(after: bytes = b"", *, late: bool = False) -> ScriptedResponse:
    """
    Close the connection after these bytes, late: not before the server is stopped.
    """

    def respond(handler: _Handler) -> None:
        handler.wfile.write(after)
        handler.wfile.flush()
        handler.close_connection = True
        if late:
            handler.server.closed.wait()
        else:
            handler.connection.shutdown(socket.SHUT_RDWR)

    return respond
