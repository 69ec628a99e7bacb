import signal
import socket
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.urls import reverse

from messaging.kernel.argument_types import positive
from payments.management.commands.payment_simulator import port_number
from shop import faults
from shop.management import split
from shop.server.processes import ProcessGroup, address_of, cluster_stop_seconds, listen, manage, web_server

DEMO_LATE_SECONDS = 15
STOP_SECONDS = 3
"""Which `up --split` waits longer than each of its services."""

LEAST_WORKERS_WITH_FAULTS = 2
"""One of them is frozen."""


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
        parser.add_argument(
            "--faults",
            action="store_true",
            help="with --demo: break the shop on purpose, to practise repairs (docs/tutorial/repair-a-shop.md)",
        )
        parser.add_argument(
            "--split",
            choices=split.BROKERS,
            help="run the contexts as four services with four databases, connected by this broker, at one address: "
            "that in TRANSPORT_URL, or on this machine",
        )
        parser.add_argument("--fd", type=int, help=SUPPRESS)  # a listening socket that `up --split` passes on

    def handle(self, *, host: str, port: int, simulator_port: int, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        simulates = settings.PAYMENTS.uses_simulator and not options["without_simulator"]
        if options["faults"] and (options["split"] or not options["demo"] or not simulates):
            raise CommandError("--faults breaks the demo of a whole shop with its payment simulator: add --demo.")
        with (
            suppress(KeyboardInterrupt),
            socket.socket(fileno=options["fd"]) if options["fd"] else listen(host, port) as listener,
            listen("127.0.0.1", simulator_port, option="--simulator-port") if simulates else nullcontext() as gateway,
        ):
            run = self._run_split if options["split"] else self._run
            run(listener, gateway, port=port, **options)

    def _run(
        self, listener: socket.socket, gateway: socket.socket | None, *, workers: int, demo: bool, **options: Any
    ) -> None:
        """
        Run the whole shop, or the service of some contexts, until a process dies.
        """
        self._prepare(split.shop_url(listener), demo=demo, has_log=not options["faults"])
        with ExitStack() as stack:
            environment = {"SHOP_DEMO": "on"} if demo else {}
            if options["faults"]:
                workers = max(workers, LEAST_WORKERS_WITH_FAULTS)
                environment |= stack.enter_context(faults.broken_mail_server())
            group = stack.enter_context(ProcessGroup(stop_seconds=cluster_stop_seconds()))
            start_members(group, listener, gateway, workers=workers, environment=environment)
            if options["faults"]:
                self._break(group, stack)
            if options["verbosity"]:
                self._greet(address_of(listener), address_of(gateway) if gateway else "")
            raise CommandError(f"{group.first_to_die()} died, so the others were stopped.")

    def _break(self, group: ProcessGroup, stack: ExitStack) -> None:
        """
        Break the shop until the end of the stack.
        """
        try:
            stack.enter_context(faults.broken_orders(group.id))
        except faults.NotBroken as error:
            raise CommandError(f"{group.dead() or 'The shop'} cannot be broken: {error}") from error
        self.stdout.write("\nThis shop is broken on purpose. docs/tutorial/repair-a-shop.md tells how to repair it.\n")

    def _run_split(
        self, origin: socket.socket, gateway: socket.socket | None, *, workers: int, demo: bool, **options: Any
    ) -> None:
        """
        Run the services of all contexts until one dies. Each stops its own processes first, so they get more time.
        """
        broker, stop_seconds = split.broker_url(options["split"]), cluster_stop_seconds() + STOP_SECONDS
        split.create_databases()
        connections.close_all()
        with (
            ExitStack() as stack,
            TemporaryDirectory() as folder,
            ProcessGroup(stop_seconds=stop_seconds) as group,
        ):
            services = split.Split.listening(stack, origin, port=options["port"], broker=broker)
            ups = [f"--workers={workers}", *(["--demo"] if demo else [])]
            simulator = address_of(gateway) if gateway else ""
            if gateway:
                start_simulator(group, gateway, address_of(origin), demo=demo, ledger=split.simulator_ledger())
            services.start(group, Path(folder), ups, simulator)
            self._greet(address_of(origin), simulator, services.addresses)
            raise CommandError(f"{group.first_to_die()} died, so the others were stopped.")

    def _prepare(self, address: str, *, demo: bool, has_log: bool) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        if demo:
            call_command("demo", address=address, without_log=not has_log, stdout=self.stdout)
        connections.close_all()

    def _greet(self, address: str, gateway: str, services: Mapping[str, str] = MappingProxyType({})) -> None:
        pages = ["/admin/", "/api/v1/docs/", *(["/sent/ (mails and SMS)"] if settings.DEBUG else [])]
        simulator = f" · payment simulator: {gateway}/" if gateway else ""
        self.stdout.write(f"\n{settings.SHOP.name} is open. Ctrl-C closes it.\n")
        self.stdout.write(f"  {address}/ · {' · '.join(pages)}{simulator}\n")
        for context, service in services.items():
            self.stdout.write(f"  {context}: {service}/admin/\n")
        if gateway not in {"", settings.PAYMENTS.simulator_url}:
            self.stdout.write(f"\nCommands in another shell need: export PAYMENT_SIMULATOR_URL={gateway}\n")
        self.stdout.write("\n")
        self.stdout.flush()


def _simulator_port() -> int:
    """
    Return the port at which settings expect the payment simulator.
    """
    return urlsplit(settings.PAYMENTS.simulator_url).port or 80


def start_members(
    group: ProcessGroup,
    listener: socket.socket,
    gateway: socket.socket | None,
    *,
    workers: int,
    environment: Mapping[str, str],
) -> None:
    """
    Start a web server on the listening socket, the workers, and the payment simulator on its own socket, if given.
    """
    environment = {"SHOP_URL": split.shop_url(listener), **environment}
    environment |= split.gateway_at(address_of(gateway) if gateway else "")
    web = environment | {"RELAY_IN_WEB": "off", "PAYMENT_SIMULATOR_IN_WEB": "off"}
    group.start("The web server", web_server(listener), pass_fds=[listener.fileno()], environment=web)
    cluster = environment | {"RELAY_WORKERS": str(workers)}
    group.start("The cluster of workers", manage("qcluster"), environment=cluster)
    if gateway:
        ledger = Path(settings.PAYMENTS.simulator_ledger)
        start_simulator(group, gateway, address_of(listener), demo="SHOP_DEMO" in environment, ledger=ledger)


def start_simulator(group: ProcessGroup, gateway: socket.socket, shop: str, *, demo: bool, ledger: Path) -> None:
    """
    Start the payment simulator on its own socket. It calls the shop at this address back. A late payment of the demo
    comes while a person watches.
    """
    webhooks = f"{shop}{reverse('payments:webhook')}"
    options = ["--fd", str(gateway.fileno()), "--callback-url", webhooks, "--ledger", str(ledger)]
    options += ["--late-seconds", str(DEMO_LATE_SECONDS)] if demo else []
    group.start(
        "The payment simulator",
        manage("payment_simulator", *options),
        pass_fds=[gateway.fileno()],
        environment={},
    )
