import math
import signal
import socket
import sqlite3
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from payments.simulator.behaviours import BEHAVIOURS, read_rates
from payments.simulator.server import Conduct, Simulator, listen

EXAMPLE = "http://127.0.0.1:8000/api/v1/webhooks/payments/"


class Command(BaseCommand):
    help = (
        "Run a payment provider that misbehaves on request, until Ctrl-C or SIGTERM. It serves its API under /v1/ and "
        "pages at /, calls the shop back with signed webhooks, and keeps all it knows in a ledger of its own, from "
        "which it goes on when it is started again, however it ended. A payment method's token says how a payment "
        f"goes: {', '.join(behaviour.token for behaviour in BEHAVIOURS.values())}. "
        "Exit status: 0 when asked to stop, 1 when the address or the ledger cannot be had, 2 when asked wrongly."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        tell = parser.add_argument
        tell("--host", default="127.0.0.1", help="address to serve at (default: %(default)s)")
        tell("--port", type=port_number, default=8010, help="port to serve at (default: %(default)s)")
        tell("--fd", type=int, help="a listening socket to serve at instead, handed down by whoever starts this")
        ledger = settings.PAYMENTS.simulator_ledger
        tell("--ledger", default=ledger, metavar="FILE", help="where it remembers (default: %(default)s)")
        tell(
            "--callback-url",
            type=web_address,
            default=settings.PAYMENTS.simulator_callback_url,
            help="whom to call (default: %(default)s)",
        )
        tell("--seed", type=int, default=1, help="repeats the chaos of another run (default: %(default)s)")
        tell(
            "--chaos",
            type=rates,
            default="0",
            metavar="RATES",
            help=(
                "share of payments without a special token that go wrong, such as 0.1 for all faults alike, or "
                "slow=0.02,declined=0.1 for each by its name (default: %(default)s)"
            ),
        )
        tell("--delay", type=seconds, default=0.5, help="seconds until money moves (default: %(default)s)")
        tell("--slow-seconds", type=seconds, default=3, help="seconds a slow answer takes (default: %(default)s)")
        tell("--late-seconds", type=seconds, default=1200, help="seconds a late payment takes (default: %(default)s)")
        tell("--latency", type=seconds, default=0, help="seconds added to every answer (default: %(default)s)")

    def handle(self, *, host: str, ledger: str, chaos: Mapping[str, float], **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        names = ("callback_url", "seed", "delay", "slow_seconds", "late_seconds", "latency")
        conduct = Conduct(
            host=host,
            secrets=settings.PAYMENTS.webhook_secrets,
            rates=chaos,
            **{name: options[name] for name in names},
        )
        with suppress(KeyboardInterrupt):
            simulator = start(_listener(host, options["port"], options["fd"]), ledger, conduct)
            self.stdout.write(f"The payment simulator serves at {simulator.address}/")
            self.stdout.flush()
            simulator.serve()


def _listener(host: str, port: int, fd: int | None) -> socket.socket:
    """
    Take the address, unless somebody has.

    :raises CommandError: if it cannot be had.
    """
    try:
        return listen(host, port) if fd is None else socket.socket(fileno=fd)
    except OSError as error:
        advice = "Stop what uses the address, or choose another with --host and --port."
        raise CommandError(f"Cannot serve at {host}:{port}: {error.strerror}. {advice}") from error


def start(listener: socket.socket, ledger: str, conduct: Conduct) -> Simulator:
    """
    Open the ledger.

    :raises CommandError: if it cannot be had, or nothing can be signed.
    """
    try:
        return Simulator(listener, ledger, conduct)
    except sqlite3.Error as error:
        raise CommandError(f"Cannot use {ledger} as a ledger: {error}. Choose another with --ledger.") from error
    except ValueError as error:
        raise CommandError(f"Cannot sign: {error} Correct PAYMENT_WEBHOOK_SECRETS.") from error


def port_number(text: str) -> int:
    """
    Read the number of a port; 0 has the system choose one.

    :raises ArgumentTypeError: if it is none.
    """
    if not (text.isdecimal() and int(text) <= 65_535):
        raise ArgumentTypeError(f"{text!r} is not a port: choose one from 1024 to 65535.")
    return int(text)


def seconds(text: str) -> float:
    """
    Read a time in seconds, from zero up.

    :raises ArgumentTypeError: if it is none.
    """
    try:
        read = float(text)
    except ValueError:
        read = math.nan
    if not 0 <= read <= 10**7:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds: choose one from 0 to {10**7}.")
    return read


def rates(text: str) -> dict[str, float]:
    """
    Read which share of the payments goes wrong, and how.

    :raises ArgumentTypeError: if the text does not tell that.
    """
    try:
        return read_rates(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def web_address(text: str) -> str:
    """
    Read an address to call.

    :raises ArgumentTypeError: if nobody can be called at it.
    """
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ArgumentTypeError(f"{text!r} is no address: write it like {EXAMPLE}")
    return text
