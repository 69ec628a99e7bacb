"""
Results that are computed once a second at most, however many requests want them.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")

FRESH_SECONDS = 1
WAIT_SECONDS = 5
"""How long a request waits for another thread that computes the result."""


class Busy(Exception):
    """
    Another thread has been computing the result for longer than `WAIT_SECONDS`.
    """


class Cached(Generic[T]):
    def __init__(self, compute: Callable[[], T], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._compute = compute
        self._clock = clock
        self._lock = Lock()
        self._result: tuple[float, T] | None = None

    def get(self) -> T:
        """
        Return a result that is at most `FRESH_SECONDS` old.

        :raises Busy: if another thread does not finish computing it, as when the database hangs.
        """
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise Busy
        try:
            if self._result is None or self._clock() >= self._result[0]:
                self._result = None
                computed = self._compute()
                self._result = self._clock() + FRESH_SECONDS, computed
            return self._result[1]
        finally:
            self._lock.release()
