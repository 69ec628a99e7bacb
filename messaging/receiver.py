"""
The receiver takes messages of other services from the broker: a set is stored, then acknowledged. A process that dies
in between receives it again, and the inbox ignores what it has.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from .attempts import storable
from .backoff import outage_pause
from .inbox import store, wanted_types
from .kernel.databases import async_commit
from .models import ReceiverState
from .subscribers import Unavailable
from .transports.protocol import Transport, connected

logger = logging.getLogger(__name__)

RECEIVE_SECONDS = 0.5
"""How long it waits for messages before it looks whether it is to stop."""

ERROR_CHARACTERS = 1000


class Receiver:
    """
    A receiver's loop. Receivers of a service may run side by side. Its worker records its state.

    :param types: the types to receive; by default those that this service wants.
    """

    def __init__(self, types: Collection[str] | None = None, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self.types = wanted_types() if types is None else types
        self._clock = clock
        self._failures = 0
        self._state: Mapping[str, Any] = {"status": ReceiverState.Status.CONNECTING, "since": clock()}
        """The fields of its `ReceiverState`. Replaced at each change, since another thread records it."""
        self._recorded: tuple[int, Mapping[str, Any]] = 0, {}

    def run(self, stop: threading.Event) -> None:
        """
        Receive until `stop` is set, then finish the set in hand. After an error connect again, later each time.
        """
        while not stop.is_set():
            try:
                self._receive(stop)
            except Exception as error:  # noqa: BLE001  (whatever it is, the messages are still at the broker)
                self._pause(stop, error)
        connection.close()

    def record(self, worker: int) -> None:
        """
        Store the state as that of a worker's receiver, if it has changed.
        """
        state = self._state
        if self._recorded != (worker, state):
            with async_commit():
                ReceiverState(worker_id=worker, **state).save()
            self._recorded = worker, state

    def _pause(self, stop: threading.Event, error: Exception) -> None:
        """
        Log an error, and wait: longer after each failure in a row.
        """
        self._failures += 1
        seconds = outage_pause(self._failures, took=timedelta()).total_seconds()
        self._note_error(error, seconds)
        is_unexpected = not isinstance(error, Unavailable)
        logger.warning("The receiver connects again in %s s: %s", seconds, error, exc_info=is_unexpected)
        connection.close()
        stop.wait(seconds)

    def _receive(self, stop: threading.Event) -> None:
        transport = connected(settings.TRANSPORT.broker, self.types)
        self._note(status=ReceiverState.Status.CONNECTED, since=self._clock(), error="", retry_at=None)
        try:
            while not stop.is_set():
                self._receive_set(transport)
                self._failures = 0
        finally:
            transport.close()

    def _receive_set(self, transport: Transport) -> None:
        if received := transport.receive(timeout=RECEIVE_SECONDS):
            store([message.body for message in received])
            transport.settle(received)
            self._note(received_at=self._clock(), set_size=len(received))

    def _note_error(self, error: Exception, seconds: float) -> None:
        now, status = self._clock(), ReceiverState.Status.DISCONNECTED
        since = self._state["since"] if self._state["status"] == status else now
        text = storable(str(error))[:ERROR_CHARACTERS]
        self._note(status=status, since=since, error=text, retry_at=now + timedelta(seconds=seconds))

    def _note(self, **changes: Any) -> None:
        self._state = {**self._state, **changes}


def receivers() -> list[Receiver]:
    """
    Return the receivers that run beside a relay: one, or none if there is no broker or nothing to receive.
    """
    return [Receiver()] if settings.TRANSPORT.url and wanted_types() else []
