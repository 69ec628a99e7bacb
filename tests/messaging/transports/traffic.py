"""Events that one service sends all the time, and receivers of another."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from messaging.contracts import decode
from messaging.models import Delivery, OutboxMessage
from messaging.receiver import Receiver
from messaging.relay import Relay
from messaging.sending import Sender
from messaging.subscribers import PartlyUnavailable, Unavailable
from messaging.transports.protocol import Outgoing
from tests.messaging.products import recorded
from tests.messaging.transports.messages import TYPE, added
from tests.waiting import eventually

SKUS = [f"CHAIR-{number}" for number in range(20)]
ROUND_SECONDS = 0.1
RETRY_SECONDS = 0.2
ROUNDS = 5
PATIENCE_SECONDS = 180


@contextmanager
def receivers(number: int) -> Iterator[None]:
    """Run so many receivers of this service during the block."""
    stop = threading.Event()
    threads = [threading.Thread(target=Receiver({TYPE}).run, args=(stop,)) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def recorded_by_sku() -> dict[str, list[str]]:
    """Return the names of recorded products in order, by SKU."""
    names: dict[str, list[str]] = {}
    for sku, name in map(str.split, recorded()):
        names.setdefault(sku, []).append(name)
    return names


def stored_by_sku() -> dict[str, list[str]]:
    """Return the names of stored products in the order of their deliveries, by SKU."""
    names: dict[str, list[str]] = {}
    for payload in Delivery.objects.order_by("id").values_list("message__payload", flat=True).iterator():
        product = decode(TYPE, payload)
        names.setdefault(product.sku, []).append(product.name)
    return names


class Traffic:
    """
    Sends a message of each SKU at a time, during the block. Like the relay, it repeats what was not confirmed until it
    is, and sends the next messages of a key then.
    """

    def __init__(self) -> None:
        self.rounds = 0
        """How many messages of each SKU were confirmed."""
        self.outages = 0
        self.longest_set = 0.0
        """How many seconds it took at most until a set was confirmed, with its repetitions."""
        self._sender, self._stop = Sender(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()

    def wait_until_it_flows(self) -> float:
        """Wait until more was confirmed and stored, and return how many seconds that took."""
        rounds, stored = self.rounds + ROUNDS, OutboxMessage.objects.count() + ROUNDS * len(SKUS)
        return eventually(
            lambda: self.rounds > rounds and OutboxMessage.objects.count() > stored, within=PATIENCE_SECONDS
        )

    def wait_for_an_outage(self) -> None:
        outages = self.outages
        eventually(lambda: self.outages > outages, within=PATIENCE_SECONDS)

    def deliver(self) -> dict[str, list[str]]:
        """Send no more, wait until all is stored, deliver it, with retries, and return what was recorded by SKU."""
        self._finish()
        eventually(lambda: OutboxMessage.objects.count() >= self.rounds * len(SKUS), within=PATIENCE_SECONDS)
        relay, undelivered = Relay(), Delivery.objects.exclude(status=Delivery.Status.DELIVERED)
        eventually(lambda: not relay.drain() and not undelivered.exists(), within=PATIENCE_SECONDS)
        return recorded_by_sku()

    @property
    def expected(self) -> dict[str, list[str]]:
        return {sku: [str(number) for number in range(self.rounds)] for sku in SKUS}

    def _finish(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        self._sender.close()

    def _run(self) -> None:
        while not self._stop.wait(ROUND_SECONDS):
            began = time.monotonic()
            self._send([added(sku, str(self.rounds)) for sku in SKUS])
            self.rounds += 1
            self.longest_set = max(self.longest_set, time.monotonic() - began)

    def _send(self, messages: Sequence[Outgoing]) -> None:
        while messages:
            try:
                self._sender.send(messages)
            except PartlyUnavailable as error:
                self.outages += 1
                messages = [message for message in messages if message.key in error.keys]
            except Unavailable:
                self.outages += 1
            else:
                return
            threading.Event().wait(RETRY_SECONDS)
