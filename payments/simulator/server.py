"""
Serving the simulator: in this process until it is asked to stop, or in a thread beside whatever else runs here.
"""

import logging
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from .api import Api
from .bank import Bank
from .behaviours import Dice
from .callbacks import Courier
from .entries import Kind
from .exchange import Environ
from .ledger import Clock, Ledger, utc_now
from .pages import Pages
from .refunds import Refunds
from .statement import Reports
from .timetable import Timetable
from .web import Application

logger = logging.getLogger(__name__)

BACKLOG = 512
POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """
    How the provider behaves, and whom it calls back.
    """

    callback_url: str
    secrets: Sequence[str]
    """Callbacks are signed with each of them."""
    seed: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)
    """How many charges go wrong by chance, as `read_rates` reads them."""
    delay: float = 0.5
    slow_seconds: float = 3
    late_seconds: float = 1200
    latency: float = 0
    """Seconds added to every answer of the API."""
    host: str = ""
    """The name of this machine by which it is asked, if not by an address."""
    clock: Clock = utc_now


class Simulator:
    """
    A provider behind a listening socket: ledger, bank, courier and web server.
    """

    def __init__(self, listener: socket.socket, ledger: Path | str, conduct: Conduct) -> None:
        host, port = listener.getsockname()[:2]
        self.address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - it is compared
        self.ledger = Ledger(ledger, clock=conduct.clock)
        self.bank = Bank(
            ledger=self.ledger,
            dice=Dice(seed=conduct.seed, rates=conduct.rates),
            delay=conduct.delay,
            late_seconds=conduct.late_seconds,
        )
        self.refunds, self.reports = Refunds(self.bank), Reports(self.ledger)
        self.courier = Courier(self.ledger, url=conduct.callback_url, signing_secrets=conduct.secrets)
        self.timetable = Timetable(self.ledger, self._follow_ups())
        self._stopping = threading.Event()
        self._server = _Server(listener)
        self._server.set_app(self._application(host, conduct))

    def start(self) -> None:
        """
        Serve in threads, until `stop` or the end of this process.
        """
        self._start_work()
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), name="simulator", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self.close()

    def serve(self) -> None:
        """
        Serve in this thread, until an exception such as KeyboardInterrupt ends it.
        """
        self._start_work()
        try:
            self._server.serve_forever()
        finally:
            self.close()

    def close(self) -> None:
        """
        Let go of everything. What is unfinished goes on when a simulator is started with the same ledger.
        """
        self._stopping.set()
        self.timetable.stop()
        self.courier.stop()
        self._server.server_close()
        self.ledger.close()

    def _start_work(self) -> None:
        self.timetable.resume()
        threading.Thread(target=self.timetable.run, name="timetable", daemon=True).start()

    def _follow_ups(self) -> dict[Kind, Any]:
        return {
            Kind.CHARGED: self.bank.settle,
            Kind.REFUND_OPENED: self.refunds.settle,
            Kind.CALLBACK: self.courier.hand_over,
            Kind.ANSWERED: self.courier.hand_over,
        }

    def _application(self, host: str, conduct: Conduct) -> Application:
        api = Api(
            bank=self.bank,
            refunds=self.refunds,
            reports=self.reports,
            courier=self.courier,
            address=self.address,
            slow_seconds=conduct.slow_seconds,
            sleep=self._stopping.wait,
        )
        return Application(
            api=api,
            pages=Pages(self.bank, self.reports),
            hosts={host, conduct.host.lower()} - {""},
            latency=conduct.latency,
        )


@contextmanager
def running(*, ledger: Path | str, host: str = "127.0.0.1", port: int = 0, **conduct: Any) -> Iterator[Simulator]:
    """
    Run a simulator in threads for the length of the block; the other arguments are those of `Conduct`.
    """
    simulator = Simulator(listen(host, port), ledger, Conduct(host=host, **conduct))
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()


def start_in_thread(address: str, ledger: Path | str, conduct: Conduct) -> None:
    """
    Run a simulator in this process until it exits, unless the address is taken: then somebody else runs one.
    """
    host, port = urlsplit(address).hostname or "", urlsplit(address).port or 80
    try:
        Simulator(listen(host, port), ledger, conduct).start()
    except OSError as problem:
        logger.warning("No payment simulator is started at %s: %s.", address, problem.strerror)


def listen(host: str, port: int) -> socket.socket:
    """
    Take the address.

    :raises OSError: if it cannot be had.
    """
    return socket.create_server((host, port), backlog=BACKLOG)


class _Handler(WSGIRequestHandler):
    timeout = 60

    def get_environ(self) -> Environ:
        return super().get_environ() | {"simulator.hang_up": self._hang_up}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        logger.debug(format, *args)

    def _hang_up(self) -> None:
        with suppress(OSError):  # the client may have been faster
            self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingMixIn, WSGIServer):
    """
    One thread for each request, so that hundreds of slow ones keep nobody waiting.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        problem = sys.exception()
        if not isinstance(problem, OSError):
            logger.error("A request from %s failed.", client_address, exc_info=problem)
