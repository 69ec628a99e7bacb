"""
The simulator as a server: in this process until it is stopped, or in threads of another process.
"""

import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from werkzeug.routing import Map
from werkzeug.serving import WSGIRequestHandler, make_server

from . import refunds
from .api import Api
from .behaviours import FaultSampler
from .http import Application
from .ledger import EntryKind, Ledger
from .pages import Pages
from .processor import Processor
from .scheduler import Scheduler
from .webhooks import WebhookSender

logger = logging.getLogger(__name__)

BACKLOG, POLL_SECONDS = 512, 0.02


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig:
    callback_url: str
    """The URL that webhooks are sent to."""
    secrets: Sequence[str]
    """Webhooks are signed with each of them."""
    seed: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)
    """The share of charges that draw each behaviour, by its name."""
    delay: float = 0.5
    slow_seconds: float = 3
    late_seconds: float = 1200
    latency: float = 0
    """Seconds added to each response of the API."""
    host: str = ""
    """A host name that it is requested by, besides its address."""


class Simulator:
    def __init__(self, listener: socket.socket, ledger: Path | str, config: SimulatorConfig) -> None:
        host, port = listener.getsockname()[:2]
        self.address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - it is compared
        self.ledger = Ledger(ledger)
        self.processor = Processor(
            ledger=self.ledger,
            sampler=FaultSampler(seed=config.seed, rates=config.rates),
            delay=config.delay,
            late_seconds=config.late_seconds,
        )
        self._sender = WebhookSender(self.ledger, url=config.callback_url, signing_secrets=config.secrets)
        self._scheduler = Scheduler(
            self.ledger,
            {
                EntryKind.CHARGED: self.processor.settle,
                EntryKind.REFUND_OPENED: partial(refunds.settle, self.processor),
                EntryKind.WEBHOOK: self._sender.enqueue,
                EntryKind.WEBHOOK_RESULT: self._sender.enqueue,
            },
        )
        self._stopping = threading.Event()
        application = self._application({host, config.host.lower()} - {""}, config)
        with listener:
            self._server = make_server(
                host, port, application, threaded=True, request_handler=_Handler, fd=listener.fileno()
            )

    def start(self) -> None:
        threading.Thread(target=self._scheduler.run, name="scheduler", daemon=True).start()
        threading.Thread(target=self._server.serve_forever, args=[POLL_SECONDS], name="simulator", daemon=True).start()

    def serve(self) -> None:
        self.start()
        try:
            # The main thread must wake up to handle a signal, which the system may deliver to another thread.
            while not self._stopping.wait(1):
                pass
        finally:
            self.stop()

    def stop(self) -> None:
        """
        Release everything. What is unfinished continues when a simulator is started with the same ledger.
        """
        self._stopping.set()
        self._server.shutdown()
        self._scheduler.stop()
        self._sender.stop()
        self.ledger.close()

    def _application(self, hosts: set[str], config: SimulatorConfig) -> Application:
        api = Api(
            processor=self.processor,
            sender=self._sender,
            address=self.address,
            wait_slowly=lambda: self._stopping.wait(config.slow_seconds),
        )
        routes = Map([*api.rules(), *Pages(self.processor).rules()], merge_slashes=False)
        return Application(
            routes=routes, hosts=hosts, wait=lambda: self._stopping.wait(config.latency), counts=api.counts
        )


def start_in_thread(address: str, ledger: Path | str, config: SimulatorConfig) -> None:
    """
    Run a simulator in threads of this process until it exits, unless the address is in use, as by another simulator.
    """
    host, port = urlsplit(address).hostname or "", urlsplit(address).port or 80
    try:
        Simulator(listen(host, port), ledger, config).start()
    except OSError as error:
        logger.warning("No payment simulator is started at %s: %s.", address, error.strerror)


def listen(host: str, port: int) -> socket.socket:
    """
    Bind the address.

    :raises OSError: if it is not available.
    """
    return socket.create_server((host, port), backlog=BACKLOG)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"
    """No keep-alive, so that a request without a response closes its connection."""
    timeout = 60
    """Seconds that a client may be idle."""

    def version_string(self) -> str:
        return "payment-simulator"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - its name in Werkzeug
        logger.debug(message.rstrip(), *args)
