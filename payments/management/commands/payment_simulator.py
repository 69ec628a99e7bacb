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

from payments.simulator.behaviours import BEHAVIOURS, CHAOS, FAULTS
from payments.simulator.server import Simulator, SimulatorConfig, listen

EXAMPLE = "http://127.0.0.1:8000/api/v1/webhooks/payments/"


class Command(BaseCommand):
    help = (
        "Run a payment provider for tests, with faults on request, until Ctrl-C or SIGTERM. It serves an API under "
        "/v1/ and pages at /, sends signed webhooks to the shop, and stores everything in a ledger of its own, from "
        "which it continues after a restart or a crash. The payment method's token selects what happens to a payment: "
        f"{', '.join(behaviour.token for behaviour in BEHAVIOURS.values())}. "
        "Exit status: 0 when stopped, 1 when the address or the ledger is not available, 2 when an option is invalid."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        add("--port", type=port_number, default=8010, help="port to listen on (default: %(default)s)")
        add("--fd", type=int, help="inherited listening socket to use instead of --host and --port")
        ledger = settings.PAYMENTS.simulator_ledger
        add("--ledger", default=ledger, metavar="FILE", help="SQLite file of the ledger (default: %(default)s)")
        add(
            "--callback-url",
            type=web_address,
            default=settings.PAYMENTS.simulator_callback_url,
            help="URL that webhooks are sent to (default: %(default)s)",
        )
        add("--seed", type=int, default=1, help="random seed of --chaos; repeats a run (default: %(default)s)")
        add(
            "--chaos",
            type=fault_rates,
            default="0",
            metavar="RATES",
            help=(
                "share of payments without a special token that get a random fault: 0.1 for all faults together, or "
                "slow=0.02,declined=0.1 for each by name (default: %(default)s)"
            ),
        )
        add("--delay", type=seconds, default=0.5, help="seconds until a payment is decided (default: %(default)s)")
        add("--slow-seconds", type=seconds, default=3, help="seconds of a slow response (default: %(default)s)")
        add("--late-seconds", type=seconds, default=1200, help="seconds of a late payment (default: %(default)s)")
        add("--latency", type=seconds, default=0, help="seconds added to each response (default: %(default)s)")

    def handle(self, *, host: str, ledger: str, chaos: Mapping[str, float], **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        names = ("callback_url", "seed", "delay", "slow_seconds", "late_seconds", "latency")
        config = SimulatorConfig(
            host=host,
            secrets=settings.PAYMENTS.webhook_secrets,
            rates=chaos,
            **{name: options[name] for name in names},
        )
        with suppress(KeyboardInterrupt):
            simulator = open_simulator(_listener(host, options["port"], options["fd"]), ledger, config)
            self.stdout.write(f"The payment simulator serves at {simulator.address}/")
            self.stdout.flush()
            simulator.serve()


def _listener(host: str, port: int, fd: int | None) -> socket.socket:
    """
    Return a listening socket.

    :raises CommandError: if the address is not available.
    """
    try:
        return listen(host, port) if fd is None else socket.socket(fileno=fd)
    except OSError as error:
        advice = "Stop what uses the address, or choose another with --host and --port."
        raise CommandError(f"Cannot serve at {host}:{port}: {error.strerror}. {advice}") from error


def open_simulator(listener: socket.socket, ledger: str, config: SimulatorConfig) -> Simulator:
    """
    Open the ledger.

    :raises CommandError: if the ledger cannot be used, or a webhook secret is missing or malformed.
    """
    try:
        return Simulator(listener, ledger, config)
    except sqlite3.Error as error:
        raise CommandError(f"Cannot use {ledger} as a ledger: {error}. Choose another with --ledger.") from error
    except ValueError as error:
        raise CommandError(f"Cannot sign: {error} Correct PAYMENT_WEBHOOK_SECRETS.") from error


def port_number(text: str) -> int:
    """
    Parse a port; 0 lets the system choose one.

    :raises ArgumentTypeError: if it is not a port.
    """
    if not (text.isdecimal() and int(text) <= 65_535):
        raise ArgumentTypeError(f"{text!r} is not a port: choose one from 1024 to 65535.")
    return int(text)


def seconds(text: str) -> float:
    """
    Parse a time in seconds.

    :raises ArgumentTypeError: if it is not a number from 0 to ten million.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 10**7:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds: choose one from 0 to {10**7}.")
    return number


def fault_rates(text: str) -> dict[str, float]:
    """
    Parse fault rates: one number for all faults together, or one for each name, such as "slow=0.02,declined=0.1".

    :raises ArgumentTypeError: if a name is unknown, or a rate or the sum of the rates is not between 0 and 1.
    """
    if "=" not in text:
        rate = _rate(text)
        return dict.fromkeys(FAULTS, rate / len(FAULTS)) if rate else {}
    rates: dict[str, float] = {}
    for part in text.split(","):
        name, _, rate_text = part.partition("=")
        rates[_new_name(name.strip(), rates)] = _rate(rate_text)
    if math.fsum(rates.values()) > 1:
        raise ArgumentTypeError(f"The rates in {text!r} add up to more than 1.")
    return {name: rates[name] for name in CHAOS if rates.get(name)}


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate <= 1:
        raise ArgumentTypeError(f"{text.strip()!r} is not a rate: enter a number from 0 to 1.")
    return rate


def _new_name(name: str, rates: Mapping[str, float]) -> str:
    if name not in CHAOS:
        raise ArgumentTypeError(f"{name!r} cannot be drawn: choose from {', '.join(CHAOS)}.")
    if name in rates:
        raise ArgumentTypeError(f"{name!r} is given twice.")
    return name


def web_address(text: str) -> str:
    """
    Check a URL.

    :raises ArgumentTypeError: if it is not an HTTP URL with a host.
    """
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ArgumentTypeError(f"{text!r} is not a URL: write it as in {EXAMPLE}")
    return text
