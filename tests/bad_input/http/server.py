"""A real web server, and clients that send it bytes."""

import socket
import time
from contextlib import suppress
from http.client import HTTPResponse
from io import BufferedReader
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from tests.bad_input.http.impatient_worker import ImpatientWorker
from tests.programs import LOCALHOST, WebServer

PATIENCE_SECONDS = 30


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Server(WebServer):
    def __init__(self, log: Path, database_url: str) -> None:
        environment = {
            "DATABASE_URL": database_url,
            "DEBUG": "on",
            "RELAY_IN_WEB": "off",
            "THROTTLE_ADDRESS_PER_MINUTE": "0",
        }
        worker = f"{ImpatientWorker.__module__}.{ImpatientWorker.__name__}"
        super().__init__(log, "--worker-class", worker, environment=environment)

    def connect(self) -> "Client":
        return Client((LOCALHOST, self.port))

    def send(self, *parts: bytes, pause: float = 0) -> Answer:
        """Send these bytes, with a pause after each part, and return one response."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
                time.sleep(pause)
            return client.answer()


class Client(socket.socket):
    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self.settimeout(PATIENCE_SECONDS)
        self.connect(address)
        self._reader = _KeptOpen(self.makefile("rb", buffering=0))

    def answer(self) -> Answer:
        answer = HTTPResponse(SimpleNamespace(makefile=lambda _: self._reader))
        answer.begin()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def seconds_until_closed(self, since: float) -> float:
        with suppress(ConnectionResetError):
            while self.recv(65_536):
                pass
        return time.monotonic() - since


class _KeptOpen(BufferedReader):
    """Stays open from one response to the next."""

    def close(self) -> None:
        pass


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return a request as bytes, without the headers whose value is empty."""
    named = {"Host": "127.0.0.1"} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
