"""The services under measurement: the contexts with a database each, connected by a broker, behind one proxy."""

import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from messaging.transports.protocol import Broker
from shop.management.split import database_url
from shop.settings.groups import CONTEXTS, SIMULATED_GATEWAY
from tests.processes import children_of, manage, run
from tests.programs import LOCALHOST, WEBHOOK_PATH, PaymentSimulator, Process, Up, free_port
from tests.waiting import eventually

from .environment import empty_database
from .http_requests import Caller
from .programs import CALLBACK_SECONDS, RunningShop
from .work import wait_until_services_are_idle

START_SECONDS = 240
STOP_SECONDS = 60


def operator_variables() -> dict[str, str]:
    """Return the variables of a process that reads the databases of all services."""
    return {f"{context.upper()}_DATABASE_URL": database_url(context) for context in CONTEXTS}


@dataclass(frozen=True)
class Services:
    """
    The services that a broker connects, in databases beside that of DATABASE_URL.

    :param folder: an empty folder for their logs and the simulator's ledger.
    """

    folder: Path
    broker: Broker

    def open(self) -> list[Caller]:
        """Fill empty databases, and return customers."""
        opened = {}
        for context in reversed(CONTEXTS):  # the stock before the products
            empty_database(database_url(context))
            opened[context] = self._run(context, sys.executable, "-m", "tests.bench.opening")
        return [Caller(*caller) for caller in json.loads(opened["orders"])]

    @contextmanager
    def running(self, **broker: int) -> Iterator[RunningShop]:
        """
        Run `manage.py up --split` as `whole_shop` runs `manage.py up`, with one web process and one worker a service.

        :param broker: its process, if its CPU time counts.
        """
        port = _first_of_five_ports()
        ledger = self.folder / "ledger.sqlite3"
        simulator = PaymentSimulator(
            self.folder / "simulator.log",
            environment=self._variables,
            ledger=ledger,
            callback_url=f"http://{LOCALHOST}:{port}{WEBHOOK_PATH}",
            delay=CALLBACK_SECONDS,
        )
        up = self._up(port, {"PAYMENT_GATEWAY": SIMULATED_GATEWAY, "PAYMENT_SIMULATOR_URL": simulator.address})
        with simulator, up:
            eventually(lambda: "is open." in up.output or up.status is not None, within=START_SECONDS)
            up.wait_until_open()
            self._run("payments", *manage("reconcile_payments"), **up.environment)
            wait_until_services_are_idle()  # until the stock of all products is received
            roots = {**_roots(up.pid), **broker, "simulator": simulator.pid}
            yield RunningShop(port, ledger, simulator, roots, wait_until_services_are_idle)
            up.stop(STOP_SECONDS)

    def receiver(self, context: str) -> Process:
        """Return a process that only receives events for one service."""
        log = self.folder / "receiver.log"
        return Process(log, manage("receive"), environment=self._variables | self._variables_of(context))

    @property
    def _variables(self) -> dict[str, str]:
        """Return the variables of all services. None of them is an operator's process, as this one is."""
        return dict.fromkeys(operator_variables(), "") | {
            "DEBUG": "0",
            "WEB_CONCURRENCY": "1",
            "TRANSPORT_URL": self.broker.url,
            "TRANSPORT_PREFIX": self.broker.prefix,
            "BENCH_STAGES": str(self.folder),
        }

    def _variables_of(self, context: str) -> dict[str, str]:
        """Return the variables of one service, for a program that asks no other about accounts."""
        return {
            "CONTEXTS": context,
            "SERVICE_NAME": context,
            "DATABASE_URL": database_url(context),
            "ACCOUNTS_URL": "http://127.0.0.1:1",
            "INTROSPECTION_SECRET": "-" * 32,
        }

    def _up(self, port: int, gateway: Mapping[str, str]) -> Up:
        kind = urlsplit(self.broker.url).scheme
        arguments = (f"--port={port}", "--without-simulator", f"--split={kind}")
        return Up(self.folder / "up.log", *arguments, environment=self._variables | gateway)

    def _run(self, context: str, *command: str | Path, **variables: str) -> str:
        environment = self._variables | variables | self._variables_of(context)
        finished = run(command, within=START_SECONDS, **environment)
        assert finished.status == 0, finished.errors
        return finished.output


def _roots(up: int) -> dict[str, int]:
    """Return the first process of each service, and the proxy, of those that `up` has started."""
    children = children_of(up)
    services = {
        context: child.pid
        for child in children
        for context in CONTEXTS
        if f"\0CONTEXTS={context}\0".encode() in b"\0" + Path(f"/proc/{child.pid}/environ").read_bytes()
    }
    [proxy] = [child.pid for child in children if "Caddyfile" in child.command]
    assert services.keys() == set(CONTEXTS), services
    return services | {"proxy": proxy}


def _first_of_five_ports() -> int:
    """Return a port at which no program listens, as at the four after it."""
    while True:
        port = free_port()
        with suppress(OSError):
            for service in range(1, 1 + len(CONTEXTS)):
                socket.create_server((LOCALHOST, port + service)).close()
            return port
