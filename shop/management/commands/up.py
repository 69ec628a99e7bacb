import errno
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.urls import reverse

from messaging.kernel.argument_types import positive
from payments.management.commands.payment_simulator import port_number

STOP_SECONDS = 10
WATCH_SECONDS = 0.2

# Leads the group and ends it when its input closes. Only `up` holds the other end, which the system closes when `up`
# dies, be it by SIGKILL, to which nobody can react; and a parent-death signal would not reach grandchildren.
GUARD = ["sh", "-c", "read -r _; kill -KILL 0"]


class Command(BaseCommand):
    help = (
        "Start the whole shop on this machine: migrate the database, then run a web server, the workers and, unless "
        "PAYMENT_GATEWAY names another gateway, the payment simulator until Ctrl-C, SIGTERM, or until one of them "
        "dies. Nothing is left behind, whichever way it ends. "
        "Exit status: 0 when asked to stop, 1 when a part died or the address cannot be had, 2 when asked wrongly."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to serve at (default: %(default)s)")
        parser.add_argument("--port", type=port_number, default=8000, help="port to serve at (default: %(default)s)")
        parser.add_argument(
            "--workers",
            type=positive,
            default=settings.MESSAGING.relay_workers,
            help="number of workers (default: %(default)s)",
        )
        parser.add_argument(
            "--simulator-port", type=port_number, default=_simulator_port(), help="for payments (default: %(default)s)"
        )
        parser.add_argument(
            "--without-simulator",
            action="store_true",
            help="start no payment simulator: one runs already, or shall later",
        )
        parser.add_argument("--demo", action="store_true", help="fill in demo data first, and print its logins")

    def handle(self, *, host: str, port: int, simulator_port: int, workers: int, demo: bool, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        simulates = settings.PAYMENTS.uses_simulator and not options["without_simulator"]
        with (
            suppress(KeyboardInterrupt),
            listen(host, port) as listener,
            listen("127.0.0.1", simulator_port, option="--simulator-port") if simulates else nullcontext() as gateway,
        ):
            address = address_of(listener)
            self._prepare(address, demo=demo)
            with Group() as group:
                start_members(group, listener, gateway, workers=workers)
                self._greet(address, address_of(gateway) if gateway else "")
                dead = group.first_to_die()
                raise CommandError(f"{dead} died, so the rest was stopped.")

    def _prepare(self, address: str, *, demo: bool) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        if demo:
            call_command("demo", address=address, stdout=self.stdout)
        connections.close_all()

    def _greet(self, address: str, gateway: str) -> None:
        self.stdout.write(f"\n{settings.SHOP.name} is open. Ctrl-C closes it.\n")
        self.stdout.write(f"  {address}/                what is here\n")
        self.stdout.write(f"  {address}/admin/          for operators\n")
        self.stdout.write(f"  {address}/api/v1/orders/  for customers and their programs\n")
        if gateway:
            self.stdout.write(f"  {gateway}/                the payment simulator: approve, decline, pay late\n")
        self.stdout.write("\n")
        self.stdout.flush()


def _simulator_port() -> int:
    """
    Tell at which port settings expect the payment simulator.
    """
    return urlsplit(settings.PAYMENTS.simulator_url).port or 80


def listen(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """
    Take the address now, so that no half-started shop finds it taken, and early visitors wait instead of failing.

    :raises CommandError: if the address cannot be had.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        advice = (
            f"Stop what uses {host}:{port}, or choose another with {option}."
            if error.errno in {errno.EADDRINUSE, errno.EACCES}
            else "Give --host an IPv4 address of this machine: 127.0.0.1, or 0.0.0.0 for all that it has."
        )
        raise CommandError(f"Cannot serve: {error.strerror}. {advice}") from error


def address_of(listener: socket.socket) -> str:
    """
    Tell where a browser on this machine finds the shop.
    """
    host, port = listener.getsockname()
    return f"http://{'127.0.0.1' if ip_address(host).is_unspecified else host}:{port}"


class Group:
    """
    Processes in a process group of their own, which ends with the `with` block or with this process, however it ends.
    """

    def __init__(self) -> None:
        self.members: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(GUARD, stdin=subprocess.PIPE, process_group=0)
        return self

    def start(self, name: str, command: Sequence[str], *, pass_fds: Sequence[int] = (), **environment: str) -> None:
        """
        Run the command as a member of the group.
        """
        self.members[name] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
            pass_fds=pass_fds,
            process_group=self._guard.pid,
        )

    def first_to_die(self) -> str:
        """
        Wait until a process of the group is dead, and tell its name.
        """
        while True:
            for name, process in [("The guard", self._guard), *self.members.items()]:
                if process.poll() is not None:
                    return name
            time.sleep(WATCH_SECONDS)

    def __exit__(self, *_: object) -> None:
        try:
            self._ask_to_stop()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._guard.pid, signal.SIGKILL)
            for process in (self._guard, *self.members.values()):
                process.wait()

    def _ask_to_stop(self) -> None:
        """
        Let the members finish what they have in hand, for a while.

        Each is asked alone: it stops its own children in order, which a signal to all at once would cut short.
        """
        deadline = time.monotonic() + STOP_SECONDS
        for process in self.members.values():
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            for process in self.members.values():
                process.wait(max(0, deadline - time.monotonic()))


def start_members(group: Group, listener: socket.socket, gateway: socket.socket | None, *, workers: int) -> None:
    """
    Start a web server behind the listening socket, the workers, and the payment simulator behind its own.
    """
    told = {"PAYMENT_SIMULATOR_URL": address_of(gateway)} if gateway else {}
    web = {"RELAY_IN_WEB": "off", "PAYMENT_SIMULATOR_IN_WEB": "off"}
    group.start("The web server", web_server(listener), pass_fds=[listener.fileno()], **told, **web)
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    group.start("The cluster of workers", [*manage, "qcluster"], RELAY_WORKERS=str(workers), **told)
    if gateway:
        callback = [
            "--fd",
            str(gateway.fileno()),
            "--callback-url",
            f"{address_of(listener)}{reverse('payments:webhook')}",
        ]
        group.start("The payment simulator", [*manage, "payment_simulator", *callback], pass_fds=[gateway.fileno()])


def web_server(listener: socket.socket) -> list[str]:
    """
    Write down the command that serves the shop behind a listening socket.
    """
    # Otherwise a header `SCRIPT_NAME`, which some proxies let anybody send, would move the shop to another address.
    no_such_headers = ("--forwarder-headers", "")
    return [
        *(sys.executable, "-m", "gunicorn", "shop.wsgi", "--pythonpath", str(settings.BASE_DIR)),
        *("--bind", f"fd://{listener.fileno()}", "--worker-class", "shop.server.gunicorn_worker.BufferingThreadWorker"),
        *("--threads", "8", "--worker-connections", "500", "--log-level", "warning", "--no-control-socket"),
        *no_such_headers,
    ]
