"""
Lanes: threads in which a worker delivers to subscribers that call external services, a lane for each subscriber.

The relay's thread claims the batches of every lane; each batch is delivered in a thread of its own. A slow service
fills its own lane only, and leaves the relay's thread to the transactional subscribers.
"""

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Self

from django.conf import settings
from django.db import connection

from .claims import Claim, batch_size
from .subscribers import Subscriber

logger = logging.getLogger(__name__)

LANE_THREADS = 6
"""Batches that a lane delivers at a time."""

SHARED_THREADS = 16
"""A worker with so many batches in flight claims only for lanes without one: this bounds its database connections."""

GATHER_SECONDS = 0.02
"""A lane with a batch in flight claims its next one no earlier, so that it finds more than one delivery."""

IDLE_SECONDS = 60
"""An idle thread ends after this time, and closes its database connection."""


class Lanes:
    """
    The lanes of one worker. Only the relay's thread calls them; the end of the block finishes the batches in flight.

    :param deliver: delivers a claimed batch, in a thread of its lane.
    """

    def __init__(self, deliver: Callable[[Claim], None]) -> None:
        self.has_refused = False
        """Whether a lane had no room. It is for the relay to reset."""
        self._deliver = deliver
        self._lock = threading.Lock()
        self._in_flight: list[Claim] = []
        self._claimed_at: dict[str, float] = {}
        self._idle: list[SimpleQueue[Claim | None]] = []
        """The threads without a batch, the last to become idle at the end, each as the queue on which it waits."""
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """
        End each thread after its batch, and wait until all have ended.
        """
        with self._lock:
            self._is_closed = True
            for queue in self._idle:
                queue.put(None)
        for thread in self._threads:
            thread.join()

    def room(self, subscriber: Subscriber) -> int:
        """
        Return how many deliveries of a subscriber may be claimed now: at most half of the calls of its lane, so that a
        call that hangs delays one batch and not the next. If one call takes a batch, one batch is in flight at a time.
        """
        with self._lock:
            sizes = [len(claim.deliveries) for claim in self._in_flight if claim.subscriber == subscriber]
            is_full = len(sizes) >= LANE_THREADS or len(self._in_flight) >= SHARED_THREADS
        is_gathering = time.monotonic() < self._claimed_at.get(subscriber.name, 0) + GATHER_SECONDS
        if subscriber.in_one_call:
            self.has_refused |= bool(sizes)
            return 0 if sizes else batch_size(subscriber)
        calls = settings.MESSAGING.outside_calls_at_once
        left = 0 if sizes and (is_full or is_gathering) else calls - sum(sizes)
        self.has_refused |= not left
        return min(left, (calls + 1) // 2)

    def deliver(self, claim: Claim) -> None:
        """
        Deliver a claimed batch in the thread that became idle last, so that the others may end, or in a new one.
        """
        with self._lock:
            self._in_flight.append(claim)
            queue = self._idle.pop() if self._idle else None
        self._claimed_at[claim.subscriber.name] = time.monotonic()
        if queue:
            queue.put(claim)
        else:
            self._start_thread(claim)

    def _start_thread(self, claim: Claim) -> None:
        thread = threading.Thread(target=self._run, args=(claim,), name="relay-lane", daemon=True)
        self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        thread.start()

    def _run(self, first: Claim) -> None:
        claim: Claim | None = first
        queue = SimpleQueue[Claim | None]()
        try:
            while claim:
                self._deliver_or_reconnect(claim)
                claim = self._next(queue)
        finally:
            connection.close()

    def _deliver_or_reconnect(self, claim: Claim) -> None:
        try:
            self._deliver(claim)
        except Exception:
            logger.exception("A batch of %s failed; its lease ends.", claim.subscriber.name)
            connection.close()
        finally:
            with self._lock:
                self._in_flight.remove(claim)

    def _next(self, queue: SimpleQueue[Claim | None]) -> Claim | None:
        """
        Wait for the next batch, and return it; return None if the thread is to end.
        """
        with self._lock:
            if self._is_closed:
                return None
            self._idle.append(queue)
        try:
            return queue.get(timeout=IDLE_SECONDS)
        except Empty:
            with self._lock:
                if queue in self._idle:
                    self._idle.remove(queue)
                    return None
            return queue.get()  # handed over just now
