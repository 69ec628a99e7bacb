"""
A real web server, started as `manage.py up` starts it, and clients that speak to it byte by byte.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from io import BufferedReader
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from django.conf import settings

from shop.management.commands.up import listen, web_server
from tests.bad_input.http.haste import HastyWorker

PATIENCE_SECONDS = 30


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Server:
    def __init__(self, folder: Path, database_url: str) -> None:
        self.log = folder / "server.log"
        self.environment = os.environ | {
            "DATABASE_URL": database_url,
            "DEBUG": "on",
            "RELAY_IN_WEB": "off",
            "THROTTLE_ADDRESS_PER_MINUTE": "0",
        }

    @contextmanager
    def running(self) -> Iterator["Server"]:
        with listen("127.0.0.1", 0) as listener, self.log.open("w") as log:
            self.address = listener.getsockname()
            command = [*web_server(listener), "--worker-class", f"{HastyWorker.__module__}.{HastyWorker.__name__}"]
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=settings.BASE_DIR,
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            )
            self.pid = process.pid
            try:
                assert self.ask(request("GET", "/healthz")).status == 200
                yield self
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE_SECONDS)

    def ask(self, *parts: bytes, pause: float = 0) -> Answer:
        """
        Send these bytes, with a pause between them, and read one answer.
        """
        with Client(self.address) as client:
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
