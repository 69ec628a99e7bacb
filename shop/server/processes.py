"""
The programs of a shop as processes of one machine: what `manage.py up` starts, and ends with itself.
"""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Self

from django.conf import settings
from django.core.management.base import CommandError

WEB_STOP_SECONDS = 10
CLUSTER_GRACE_SECONDS = 2  # beyond the limit of a handler
WATCH_SECONDS = 0.2

# Leads the process group and kills it when its input closes. Only `up` holds the other end, which the system closes
# when `up` dies, also by SIGKILL. A parent-death signal would not reach grandchildren.
GUARD = ["sh", "-c", "read -r _; kill -KILL 0"]


def listen(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """
    Listen before anything starts, so that an address in use fails at once and early requests wait instead of failing.

    :raises CommandError: if the address cannot be bound.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        advice = (
            f"Stop the program that uses {host}:{port}, or choose another port with {option}."
            if error.errno in {errno.EADDRINUSE, errno.EACCES}
            else "Give --host an IPv4 address of this machine: 127.0.0.1, or 0.0.0.0 for all of them."
        )
        raise CommandError(f"Cannot serve: {error.strerror}. {advice}") from error


def address_of(listener: socket.socket) -> str:
    """
    Return the URL at which a browser on this machine reaches a listening socket.
    """
    host, port = listener.getsockname()
    return f"http://{'127.0.0.1' if ip_address(host).is_unspecified else host}:{port}"


class ProcessGroup:
    """
    Processes that end with the `with` block, or with this process even if it is killed.

    :param stop_seconds: how long members may take to end after SIGTERM, before they are killed.
    """

    def __init__(self, *, stop_seconds: float) -> None:
        self._stop_seconds = stop_seconds
        self.members: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(GUARD, stdin=subprocess.PIPE, process_group=0)
        return self

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], pass_fds: Sequence[int] = ()
    ) -> None:
        """
        Start the command as a member of the group, with additional environment variables.
        """
        self.members[name] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
            pass_fds=pass_fds,
            process_group=self._guard.pid,
        )

    @property
    def id(self) -> int:
        """
        Return the id of the process group.
        """
        return self._guard.pid

    def first_to_die(self) -> str:
        """
        Wait until a member or the guard is dead, and return its name.
        """
        while not (name := self.dead()):
            time.sleep(WATCH_SECONDS)
        return name

    def dead(self) -> str:
        """
        Return the name of a member that is dead, or of the guard; empty if all live.
        """
        processes = [("The guard", self._guard), *self.members.items()]
        return next((name for name, process in processes if process.poll() is not None), "")

    def __exit__(self, *_: object) -> None:
        try:
            self._terminate_members()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            for process in (self._guard, *self.members.values()):
                process.wait()

    def _terminate_members(self) -> None:
        """
        Send SIGTERM to each member, and wait until they have ended.

        The signal goes to members only: each stops its own children in order.
        """
        deadline = time.monotonic() + self._stop_seconds
        for process in self.members.values():
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            for process in self.members.values():
                process.wait(max(0, deadline - time.monotonic()))


def cluster_stop_seconds() -> float:
    """
    Return how long the cluster of workers may take to finish its batches.
    """
    return settings.MESSAGING.handler_limit_seconds + CLUSTER_GRACE_SECONDS


def manage(*arguments: str) -> list[str]:
    """
    Return the command line of `manage.py` with these arguments, or of `python -m shop` where the shop is installed.
    """
    script = settings.CODE_DIR / "manage.py"
    # -P: not from a folder `shop` in the current directory.
    program = [str(script)] if script.exists() else ["-P", "-m", "shop"]
    return [sys.executable, *program, *arguments]


def web_server(listener: socket.socket) -> list[str]:
    """
    Return the command that serves the shop on a listening socket.
    """
    # By default gunicorn lets a header `SCRIPT_NAME`, which some proxies pass through, change the shop's URLs.
    no_forwarder_headers = ("--forwarder-headers", "")
    return [
        *(sys.executable, "-m", "gunicorn", "shop.wsgi", "--pythonpath", str(settings.CODE_DIR)),
        *("--bind", f"fd://{listener.fileno()}", "--worker-class", "shop.server.gunicorn_worker.BufferingThreadWorker"),
        *("--threads", "8", "--worker-connections", "500", "--log-level", "warning", "--no-control-socket"),
        *("--graceful-timeout", str(WEB_STOP_SECONDS)),
        *no_forwarder_headers,
    ]
