"""
Twilio's API of messages on loopback, which fails as a test has scripted. Its list of messages is the truth.
"""

import json
import socket
import threading
from base64 import b64decode
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

ACCOUNT = "AC" + 32 * "0"
TOKEN = "12345"
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "TwilioServer"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        self.answer(200, messages=self.server.sent_to(dict(parse_qsl(urlsplit(self.path).query))["To"]))

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        kind, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if (self.path, kind, b64decode(credentials).decode()) != (PATH, "Basic", f"{ACCOUNT}:{TOKEN}"):
            self.answer(401, code=20003)
        else:
            self.server.forms.append(form)
            self.server.script.popleft()(self, form) if self.server.script else accepting(self, form)

    def answer(self, status: int, **content: Any) -> None:
        self.send(status, json.dumps(content).encode())

    def send(self, status: int, body: bytes, *, announced: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


Reply = Callable[[_Handler, dict[str, str]], None]


class TwilioServer(ThreadingHTTPServer):
    """
    Reply to each message by the next reply of `script`, or accept it when none is left.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.script: deque[Reply] = deque()
        self.forms: list[dict[str, str]] = []
        self.sent: list[dict[str, str]] = []
        self.connections = 0
        self.closed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self.shutdown()
        self.server_close()

    def take(self, form: dict[str, str], *, ago: timedelta = timedelta()) -> str:
        """
        Create a message as Twilio does, and return its id.
        """
        sid, created = f"SM{len(self.sent):032x}", format_datetime(datetime.now(UTC) - ago)
        self.sent.append({"sid": sid, "to": form["To"], "body": form["Body"], "date_created": created})
        return sid

    def sent_to(self, number: str) -> list[dict[str, str]]:
        return [message for message in reversed(self.sent) if message["to"] == number]


def accepting(handler: _Handler, form: dict[str, str]) -> None:
    handler.answer(201, sid=handler.server.take(form))


def refusing(status: int, code: int | None = None) -> Reply:
    return lambda handler, form: handler.answer(status, code=code, message=f"The 'To' number {form['To']} is …")


def failing(status: int, body: bytes = b"<html>") -> Reply:
    """
    Reply as a proxy does.
    """
    return lambda handler, form: handler.send(status, body)


def disconnecting(*, taken: bool) -> Reply:
    """
    Close the connection without an answer, after the message was created or instead.
    """

    def reply(handler: _Handler, form: dict[str, str]) -> None:
        if taken:
            handler.server.take(form)
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return reply


def dripping(handler: _Handler, form: dict[str, str]) -> None:
    """
    Create the message, then send a byte of the answer now and then, for ever.
    """
    handler.server.take(form)
    handler.send(201, b"{", announced=1_000_000)
    try:
        while not handler.server.closed.wait(0.02):
            handler.wfile.write(b" ")
    except OSError:
        handler.close_connection = True
