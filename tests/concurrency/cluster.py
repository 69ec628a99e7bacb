"""
A cluster of real worker processes that a test may kill, freeze and restart, as a bad day or a supervisor would.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from django.conf import settings

from tests.gateways import INSTANT

PATIENCE_SECONDS = 60
GLANCE_SECONDS = 0.02
STOP_SECONDS = 5
WORKERS = 2

LEASE_SECONDS = 3
LIMIT_SECONDS = 2

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.concurrency.settings",
    "EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend",
    "EMAIL_TIMEOUT": "1",
    "PAYMENT_GATEWAY": INSTANT,
    "PAYMENT_TIMEOUT_SECONDS": "1",
    "RELAY_IN_WEB": "off",
    "RELAY_WORKERS": str(WORKERS),
    "MESSAGING_LEASE_SECONDS": str(LEASE_SECONDS),
    "MESSAGING_HANDLER_LIMIT_SECONDS": str(LIMIT_SECONDS),
}

ROLE_TOLD = re.compile(r"(ready for work|monitoring|pushing tasks) at (\d+)")
PERFORMER_TOLD = re.compile(r"Performing in process (\d+)")
ROLES = {"ready for work": "worker", "monitoring": "monitor", "pushing tasks": "pusher"}


class Cluster:
    """
    `manage.py qcluster` in a process group of its own, of which nothing outlives the `with` block.
    """

    def __init__(self, folder: Path, database_url: str, **environment: str) -> None:
        self.log = folder / "cluster.log"
        self.environment = environment_of(database_url, **environment)

    @property
    def lease_seconds(self) -> int:
        return int(self.environment["MESSAGING_LEASE_SECONDS"])

    @property
    def limit_seconds(self) -> int:
        return int(self.environment["MESSAGING_HANDLER_LIMIT_SECONDS"])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_group()

    def start(self) -> None:
        """
        Start it and wait until every process of it is there.
        """
        with self.log.open("a") as log:
            self.master = subprocess.Popen(
                [sys.executable, "manage.py", "qcluster"],
                cwd=settings.BASE_DIR,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self.is_complete)

    def restart(self) -> None:
        """
        Do what a supervisor does when the process it knows is gone: end the rest of its group, start afresh.
        """
        self.kill_group()
        self.start()

    def kill_group(self) -> None:
        """
        End every process of it at once.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.master.pid, signal.SIGKILL)
        self.master.wait()
        eventually(lambda: not self.members())

    def stop(self) -> float:
        """
        Ask it to stop, and return the seconds it took; kill it if it takes too long, as every supervisor does.
        """
        began = time.monotonic()
        self.master.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.master.wait(STOP_SECONDS)
        self.kill_group()
        return time.monotonic() - began

    def is_complete(self) -> bool:
        return len(self.pids("worker")) == WORKERS and all(self.pids(role) for role in ("monitor", "pusher"))

    def pids(self, role: str) -> list[int]:
        """
        List the living processes of a role: worker, monitor, pusher or sentinel.
        """
        members = self.members()
        told = [(int(pid), ROLES[words]) for words, pid in ROLE_TOLD.findall(self.log.read_text())]
        if role == "sentinel":
            return sorted({members[pid] for pid, _ in told if members.get(pid) in members})
        return [pid for pid, its_role in told if its_role == role and pid in members]

    def performers(self) -> list[int]:
        """
        List the processes that began a stunt, oldest stunt first.
        """
        return [int(pid) for pid in PERFORMER_TOLD.findall(self.log.read_text())]

    def members(self) -> dict[int, int]:
        """
        List the living processes of the group, each with its parent.
        """
        processes = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], text=True).splitlines()
        fields = [process.split() for process in processes]
        return {int(pid): int(parent) for pid, parent, group, state in fields if self._is_alive(group, state)}

    def _is_alive(self, group: str, state: str) -> bool:
        return int(group) == self.master.pid and state[0] != "Z"


def environment_of(database_url: str, **environment: str) -> dict[str, str]:
    """
    Write down the environment of a process of the shop, on this database and with these changes.
    """
    return os.environ | ENVIRONMENT | {"DATABASE_URL": database_url} | environment


def eventually(
    condition: Callable[[], object], *, within: float = PATIENCE_SECONDS, every: float = GLANCE_SECONDS
) -> float:
    """
    Wait until the condition holds, and return how many seconds that took.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, f"waited {within} s in vain"
        time.sleep(every)
    return time.monotonic() - began
