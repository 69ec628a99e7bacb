"""
Liveness: which workers are alive, what they record about themselves, and the takeover of the claims of those that died.

A worker registers a row and holds a lock that ends with its process. Every worker checks the locks of the others: one
whose lock is free in several checks in a row is dead. A frozen worker keeps its lock, so its claims wait for the end of
their lease. It is silent (`status.worker_states`), and its cluster kills it if an operator requests that. A live worker
may be taken for dead if it does not reconnect soon after its connection to the database was lost: then it registers
again, and a claim that another has taken over meets `LeaseLost`.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Protocol

from django.db import connection, transaction
from django.utils import timezone

from .claims import claims_of
from .kernel.databases import async_commit
from .kernel.process_locks import free_locks, process_lock, remove_lock
from .models import Worker

logger = logging.getLogger(__name__)

CHECK_SECONDS = 0.5
CHECKS_UNTIL_DEAD = 4
"""From the first to the last of them, a live worker has time to reconnect after the database was restarted."""

RECORD_SECONDS = 1
"""A worker records its state this often at most."""

SEEN_SECONDS = 5
"""A worker records this often that it runs."""

START_SECONDS, STOP_SECONDS = 5, 1
"""How long a relay waits for its registration before its first claim, and for the end of it after its last."""


class Reporter(Protocol):
    """
    A part of a worker whose state other processes may read.
    """

    def record(self, worker: int) -> None:
        """
        Store the present state as that of the worker with this number, if it has changed.
        """


class Liveness:
    """
    A worker's registration, the records of its state, and its checks of the others, in a thread with a database
    connection of its own.

    `number` begins the tokens of the worker's claims. It is 0 while the worker is not registered: what it claims then
    waits for the end of its lease if it dies.
    """

    def __init__(self, clock: Callable[[], datetime] = timezone.now, *, reporters: Sequence[Reporter] = ()) -> None:
        self.number = 0
        self._reporters = reporters
        self._record_at = self._seen_at = 0.0
        self._clock = clock
        self._holds_lock = threading.Event()

    @contextmanager
    def maintained(self) -> Iterator[None]:
        """
        Be registered during the block, and check the other workers.
        """
        end = threading.Event()
        thread = threading.Thread(target=self._maintain, args=(end,), name="liveness", daemon=True)
        thread.start()
        self._holds_lock.wait(START_SECONDS)
        try:
            yield
        finally:
            end.set()
            thread.join(STOP_SECONDS)

    def _maintain(self, end: threading.Event) -> None:
        while not end.is_set():
            try:
                self._stay_registered(end)
            except Exception as error:  # noqa: BLE001  (the relay works without, whatever the reason)
                logger.warning("Worker %s tries to register again: %r", self.number, error)
                end.wait(CHECK_SECONDS)
            finally:
                connection.close()

    def _stay_registered(self, end: threading.Event) -> None:
        """
        Hold the lock and check the others until the end, or until another worker has taken this one for dead.
        """
        self.number = self.number or _register(self._clock())
        with process_lock(self.number):
            self._holds_lock.set()
            checks = Checks(self._clock)
            while not end.wait(CHECK_SECONDS) and self.number in (workers := _registered()):
                checks.make(workers - {self.number})
                self._record()
            _unregister(self.number, self._clock())
        self.number = 0

    def _record(self) -> None:
        if time.monotonic() >= self._seen_at:
            self._seen_at = time.monotonic() + SEEN_SECONDS
            with async_commit():
                Worker.objects.filter(number=self.number).update(seen_at=self._clock())
        if time.monotonic() >= self._record_at:
            self._record_at = time.monotonic() + RECORD_SECONDS
            for reporter in self._reporters:
                reporter.record(self.number)


class Checks:
    """
    Checks of workers' locks, and how often in a row each was free.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._times_free: Counter[int] = Counter()

    def make(self, workers: Collection[int]) -> bool:
        """
        Take over the claims of those of these workers that are dead; return whether another may be.
        """
        self._times_free = Counter({number: self._times_free[number] + 1 for number in free_locks(workers)})
        dead = {number for number, times in self._times_free.items() if times >= CHECKS_UNTIL_DEAD}
        for number in dead:
            if (deliveries := _unregister(number, self._clock())) is not None:
                logger.warning("Worker %s died: another takes over %s claimed deliveries.", number, deliveries)
        return len(dead) < len(self._times_free)


def take_over_from_dead_workers(clock: Callable[[], datetime] = timezone.now) -> None:
    """
    Make the claims of dead workers due. This takes 1.5 s if a registered worker is dead, otherwise no time.
    """
    checks = Checks(clock)
    while checks.make(_registered()):
        time.sleep(CHECK_SECONDS)


def request_end(worker: Worker, *, now: datetime) -> None:
    """
    Request that a worker's cluster kills it. The cluster starts another, and what it had claimed is delivered again.
    """
    Worker.objects.filter(pk=worker.pk).update(end_requested_at=now)


def kill_requested_workers() -> None:
    """
    Kill the workers in this process group whose end an operator has requested.
    """
    requested = Worker.objects.filter(end_requested_at__isnull=False, host=socket.gethostname())
    for process in requested.values_list("process", flat=True):
        with suppress(ProcessLookupError):
            if os.getpgid(process) == os.getpgrp():
                logger.warning("An operator has requested the end of the worker in process %s.", process)
                os.kill(process, signal.SIGKILL)


def _register(now: datetime) -> int:
    return Worker.objects.create(host=socket.gethostname(), process=os.getpid(), started_at=now, seen_at=now).number


def _registered() -> set[int]:
    return set(Worker.objects.values_list("number", flat=True))


def _unregister(number: int, now: datetime) -> int | None:
    """
    Delete a worker's row and make its claimed deliveries due, with their attempts counted. Return how many these are,
    or None if the row was deleted before.
    """
    with transaction.atomic():
        deleted, _ = Worker.objects.filter(number=number).delete()
        deliveries = claims_of(number, now).update(due_at=now) if deleted else None
        remove_lock(number)  # before the commit: after a crash the row is still there, and its lock is free
    return deliveries
