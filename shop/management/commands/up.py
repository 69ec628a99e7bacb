import errno
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
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

WEB_STOP_SECONDS = 10
CLUSTER_GRACE_SECONDS = 2  # beyond the limit of a handler
WATCH_SECONDS = 0.2

# Leads the process group and kills it when its input closes. Only `up` holds the other end, which the system closes
# when `up` dies, also by SIGKILL. A parent-death signal would not reach grandchildren.
GUARD = ["sh", "-c", "read -r _; kill -KILL 0"]


class Command(BaseCommand):
    help = (
        "Start the whole shop on this machine: migrate the database, then run a web server, the workers and, unless "
        "PAYMENT_GATEWAY names another gateway, the payment simulator until Ctrl-C, SIGTERM, or the death of one of "
        "them. No process is left behind. "
        "Exit status: 0 if stopped, 1 if a process died or an address is in use, 2 for wrong arguments."
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
            "--simulator-port",
            type=port_number,
            default=_simulator_port(),
            help="port of the payment simulator (default: %(default)s)",
        )
        parser.add_argument(
            "--without-simulator",
            action="store_true",
            help="do not start the payment simulator, because it runs elsewhere",
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
            with ProcessGroup() as group:
                start_members(group, listener, gateway, workers=workers)
                self._greet(address, address_of(gateway) if gateway else "")
                dead = group.first_to_die()
                raise CommandError(f"{dead} died, so the others were stopped.")

    def _prepare(self, address: str, *, demo: bool) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        if demo:
            call_command("demo", address=address, stdout=self.stdout)
        connections.close_all()

    def _greet(self, address: str, gateway: str) -> None:
        self.stdout.write(f"\n{settings.SHOP.name} is open. Ctrl-C closes it.\n")
        self.stdout.write(f"  {address}/                start page\n")
        self.stdout.write(f"  {address}/admin/          for operators\n")
        self.stdout.write(f"  {address}/api/v1/orders/  for customers and their programs\n")
        if gateway:
            self.stdout.write(f"  {gateway}/                the payment simulator: approve, decline, pay late\n")
        if gateway not in {"", settings.PAYMENTS.simulator_url}:
            self.stdout.write(f"\nCommands in another shell need: export PAYMENT_SIMULATOR_URL={gateway}\n")
        self.stdout.write("\n")
        self.stdout.flush()


def _simulator_port() -> int:
    """
    Return the port at which settings expect the payment simulator.
    """
    return urlsplit(settings.PAYMENTS.simulator_url).port or 80


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
    """

    def __init__(self) -> None:
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

    def first_to_die(self) -> str:
        """
        Wait until a member or the guard is dead, and return its name.
        """
        while True:
            for name, process in [("The guard", self._guard), *self.members.items()]:
                if process.poll() is not None:
                    return name
            time.sleep(WATCH_SECONDS)

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
        Send SIGTERM to each member and wait as long as the cluster of workers may take to finish its batches.

        The signal goes to members only: each stops its own children in order.
        """
        deadline = time.monotonic() + settings.MESSAGING.handler_limit_seconds + CLUSTER_GRACE_SECONDS
        for process in self.members.values():
            process.terminate()
        with suppress(subprocess.TimeoutExpired):
            for process in self.members.values():
                process.wait(max(0, deadline - time.monotonic()))


def start_members(group: ProcessGroup, listener: socket.socket, gateway: socket.socket | None, *, workers: int) -> None:
    """
    Start a web server on the listening socket, the workers, and the payment simulator on its own socket, if given.
    """
    environment = {"PAYMENT_SIMULATOR_URL": address_of(gateway)} if gateway else {}
    web = environment | {"RELAY_IN_WEB": "off", "PAYMENT_SIMULATOR_IN_WEB": "off"}
    group.start("The web server", web_server(listener), pass_fds=[listener.fileno()], environment=web)
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    cluster = environment | {"RELAY_WORKERS": str(workers)}
    group.start("The cluster of workers", [*manage, "qcluster"], environment=cluster)
    if gateway:
        callback = f"{address_of(listener)}{reverse('payments:webhook')}"
        simulator = [*manage, "payment_simulator", "--fd", str(gateway.fileno()), "--callback-url", callback]
        group.start("The payment simulator", simulator, pass_fds=[gateway.fileno()], environment={})


def web_server(listener: socket.socket) -> list[str]:
    """
    Return the command that serves the shop on a listening socket.
    """
    # By default gunicorn lets a header `SCRIPT_NAME`, which some proxies pass through, change the shop's URLs.
    no_forwarder_headers = ("--forwarder-headers", "")
    return [
        *(sys.executable, "-m", "gunicorn", "shop.wsgi", "--pythonpath", str(settings.BASE_DIR)),
        *("--bind", f"fd://{listener.fileno()}", "--worker-class", "shop.server.gunicorn_worker.BufferingThreadWorker"),
        *("--threads", "8", "--worker-connections", "500", "--log-level", "warning", "--no-control-socket"),
        *("--graceful-timeout", str(WEB_STOP_SECONDS)),
        *no_forwarder_headers,
    ]
