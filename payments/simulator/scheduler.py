"""
The scheduler processes the open entries of a ledger, and each that is appended, in the order of their due times.
"""

import heapq
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from .ledger import EntryKind, Ledger, LedgerClosed, LedgerEntry

logger = logging.getLogger(__name__)


class Scheduler:
    def __init__(self, ledger: Ledger, handlers: Mapping[EntryKind, Callable[[LedgerEntry], None]]) -> None:
        self._ledger = ledger
        self._handlers = handlers
        self._queue: list[tuple[datetime, int, LedgerEntry]] = []
        self._changed = threading.Condition()
        self._is_stopped = False
        ledger.on_due = self.add
        for entry in ledger.open_entries():
            self.add(entry)

    def add(self, entry: LedgerEntry) -> None:
        if entry.due and entry.kind in self._handlers:
            with self._changed:
                heapq.heappush(self._queue, (entry.due, entry.seq, entry))
                self._changed.notify()

    def run(self) -> None:
        """
        Process due entries until stopped, also after a failure.
        """
        while entry := self._wait():
            try:
                self._handlers[entry.kind](entry)
            except LedgerClosed:
                return
            except Exception:
                logger.exception("Ledger entry %s could not be processed.", entry.seq)

    def run_due(self) -> None:
        """
        Process the entries that are due now.
        """
        while entry := self._pop_due():
            self._handlers[entry.kind](entry)

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def _wait(self) -> LedgerEntry | None:
        with self._changed:
            while not (self._is_stopped or (entry := self._pop_due())):
                self._changed.wait(self._seconds_left())
            return None if self._is_stopped else entry

    def _pop_due(self) -> LedgerEntry | None:
        with self._changed:
            seconds = self._seconds_left()
            return heapq.heappop(self._queue)[2] if seconds is not None and seconds <= 0 else None

    def _seconds_left(self) -> float | None:
        return (self._queue[0][0] - self._ledger.clock()).total_seconds() if self._queue else None
