"""
A real web server, started as `manage.py up` starts it, and clients that speak to it byte by byte.
"""

import socket
import time
from contextlib import suppress
from http.client import HTTPResponse
from io import BufferedReader
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from tests.bad_input.http.haste import HastyWorker
from tests.programs import LOCALHOST, WebServer

PATIENCE_SECONDS = 30


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Server(WebServer):
    """
    The shop's web server, with a worker that waits less for slow clients.
    """

    def __init__(self, log: Path, database_url: str) -> None:
        environment = {
            "DATABASE_URL": database_url,
            "DEBUG": "on",
            "RELAY_IN_WEB": "off",
            "THROTTLE_ADDRESS_PER_MINUTE": "0",
        }
        worker = f"{HastyWorker.__module__}.{HastyWorker.__name__}"
        super().__init__(log, "--worker-class", worker, environment=environment)

    def connect(self) -> "Client":
        return Client((LOCALHOST, self.port))

    def ask(self, *parts: bytes, pause: float = 0) -> Answer:
        """
        Send these bytes, with a pause between them, and read one answer.
        """
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
                time.sleep(pause)
            return client.answer()


class Client(socket.socket):
    """
    Somebody who speaks to a server byte by byte.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self.settimeout(PATIENCE_SECONDS)
        self.connect(address)
        self._heard = _Heard(self.makefile("rb", buffering=0))

    def answer(self) -> Answer:
        answer = HTTPResponse(SimpleNamespace(makefile=lambda _: self._heard))
        answer.begin()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def seconds_until_closed(self, since: float) -> float:
        with suppress(ConnectionResetError):
            while self.recv(65_536):
                pass
        return time.monotonic() - since


class _Heard(BufferedReader):
    """
    Stays open from one answer to the next.
    """

    def close(self) -> None:
        pass


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """
    Write a request; a header whose value is empty is left out.
    """
    told = {"Host": "127.0.0.1"} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
