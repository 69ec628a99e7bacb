"""
The payment simulator and the shop's web server as processes of their own, which a test may kill, freeze and restart.
"""

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.request import urlopen

from django.conf import settings
from django.urls import reverse

from shop.management.commands import up
from tests.concurrency.cluster import eventually

LOCALHOST = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Below those that systems give to whoever asks for any, so that nobody takes ours while its server is dead."""


class Server:
    """
    A program in a process group of its own, always at the same address, of which nothing outlives the `with` block.
    """

    health: str

    def __init__(self, log: Path) -> None:
        self.log = log
        self.port = free_port()
        self.environment: Mapping[str, str] = {}

    @property
    def address(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        self.launch()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def launch(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """
        Start it and wait until it answers.
        """
        self.launch()
        eventually(self.answers)

    def kill(self) -> None:
        """
        End every process of it at once, in mid-sentence.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def answers(self) -> bool:
        assert self._process.poll() is None, f"{self.log} tells why it ended"
        try:
            with urlopen(f"{self.address}{self.health}", timeout=2):
                return True
        except OSError:
            return False

    def _run(self, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> None:
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command,
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
                start_new_session=True,
            )


class WebServer(Server):
    """
    The shop's web server, as `manage.py up` starts it. Nobody listens at its address while it is dead.
    """

    health = "/healthz"

    @property
    def webhooks(self) -> str:
        return f"{self.address}{reverse('payments:webhook')}"

    def launch(self) -> None:
        with up.listen(LOCALHOST, self.port) as listener:
            self._run(up.web_server(listener), pass_fds=[listener.fileno()])


class Provider(Server):
    """
    `manage.py payment_simulator`, with its ledger in a file.
    """

    health = "/v1/faults"

    def __init__(self, log: Path, **conduct: object) -> None:
        super().__init__(log)
        self.conduct = conduct

    def launch(self) -> None:
        manage = [sys.executable, "manage.py", "payment_simulator", "--port", str(self.port)]
        options = {f"--{name.replace('_', '-')}": str(value) for name, value in self.conduct.items()}
        self._run([*manage, *(word for option in options.items() for word in option)])


def free_port() -> int:
    """
    Choose a port at which nobody listens.
    """
    while True:
        port = random.choice(PORTS)
        with suppress(OSError), socket.create_server((LOCALHOST, port)):
            return port
