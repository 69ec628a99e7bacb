"""
The way of an event from its commit to its handler in another service, by stages, each stamped where it happens: in the
services under measurement, which append a line for each stamp to one file.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from django.db import transaction

from messaging import inbox, outbox, receiver, sending, subscribers, wakeup
from messaging.contracts import Event, OrderPlaced
from messaging.transports.protocol import Outgoing

from .load import percentiles

FILE = "stages"

CONFIRMED = "confirmed"
"""The broker has confirmed it, which may be after another service has received it."""

INTERVALS = {
    ("committed", "handled"): "from the commit until the handler is called",
    ("committed", "claimed"): "from the commit until the relay has claimed it",
    ("claimed", "received"): "until the other service has received it",
    ("received", "stored"): "until it is stored there, and others can read it",
    ("stored", "handled"): "until the relay there calls the handler",
    ("handled", "done"): "until the handler's commit",
    ("claimed", CONFIRMED): "from the claim until the broker has confirmed it",
}

HANDLER = "inventory.reserve_stock"


class _Transaction(threading.local):
    """The keys of the events that the transaction of this thread publishes, and of those that it stores."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.stored: list[str] = []


_transaction = _Transaction()


class _Attributes(msgspec.Struct):
    type: str
    subject: str


def record(folder: Path) -> None:
    """Let this process stamp each `OrderPlaced`."""
    file = os.open(folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def stamp(stage: str, keys: Sequence[str]) -> None:
        now = time.time()
        os.write(file, "".join(f"{stage} {key} {now}\n" for key in keys).encode())

    outbox.encode = _noting_key(outbox.encode)
    wakeup.notify = _stamping_commit(wakeup.notify, stamp)
    sending.Sender.send = _stamping_send(sending.Sender.send, stamp)
    if HANDLER in subscribers.all_subscribers():
        receiver.store = _stamping_store(inbox.store, stamp)
        subscribers.wrap(HANDLER, lambda react: _stamping_handler(react, stamp))


def commit_to_handler(folder: Path, keys: Sequence[str]) -> dict[str, float]:
    """Return percentiles of the milliseconds from the commit to the handler, and the median of each stage."""
    moments: dict[str, dict[str, float]] = defaultdict(dict)
    for line in (folder / FILE).read_text().splitlines():
        stage, key, moment = line.split()
        moments[key].setdefault(stage, float(moment))
    spans = {
        name: [1000 * (moments[key][end] - moments[key][start]) for key in keys]
        for (start, end), name in INTERVALS.items()
    }
    whole = percentiles(next(iter(spans.values())))
    return whole | {f"{name}, p50 ms": median(values) for name, values in list(spans.items())[1:]}


Stamp = Callable[[str, Sequence[str]], None]


def _noting_key(encode: Callable[[Event], str]) -> Callable[[Event], str]:
    @wraps(encode)
    def noting(event: Event) -> str:
        if isinstance(event, OrderPlaced):
            _transaction.published.append(event.key)
        return encode(event)

    return noting


def _stamping_commit(notify: Callable[[], None], stamp: Stamp) -> Callable[[], None]:
    @wraps(notify)
    def stamping() -> None:
        stamp("committed", _transaction.published)
        stamp("stored", _transaction.stored)
        _transaction.published, _transaction.stored = [], []
        notify()

    return stamping


def _stamping_send(send: Any, stamp: Stamp) -> Any:
    @wraps(send)
    def stamping(self: sending.Sender, messages: Sequence[Outgoing]) -> None:
        keys = [message.key for message in messages if message.type == OrderPlaced.type]
        stamp("claimed", keys)
        send(self, messages)
        stamp(CONFIRMED, keys)

    return stamping


def _stamping_store(store: Callable[[Sequence[bytes]], None], stamp: Stamp) -> Callable[[Sequence[bytes]], None]:
    @wraps(store)
    def stamping(bodies: Sequence[bytes]) -> None:
        messages = [msgspec.json.decode(body, type=_Attributes) for body in bodies]
        keys = [message.subject for message in messages if message.type == OrderPlaced.type]
        stamp("received", keys)
        _transaction.stored = keys
        store(bodies)

    return stamping


def _stamping_handler(react: subscribers.Reaction, stamp: Stamp) -> subscribers.Reaction:
    @wraps(react)
    def stamping(events: Sequence[OrderPlaced]) -> None:
        keys = [event.key for event in events]
        stamp("handled", keys)
        transaction.on_commit(partial(stamp, "done", keys))
        react(events)

    return stamping
