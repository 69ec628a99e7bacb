"""
The timetable: has every entry of the ledger that is due followed up, in the order in which they are due.
"""

import heapq
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from .entries import Entry, Kind
from .ledger import Closed, Ledger

logger = logging.getLogger(__name__)


class Timetable:
    def __init__(self, ledger: Ledger, follow_up: Mapping[Kind, Callable[[Entry], None]]) -> None:
        self._ledger = ledger
        self._follow_up = follow_up
        self._waiting: list[tuple[datetime, int, Entry]] = []
        self._changed = threading.Condition()
        self._is_stopped = False

    def resume(self) -> None:
        """
        Take up what the ledger says is open, and from now on whatever comes to be due.
        """
        self._ledger.on_due = self.add
        for entry in self._ledger.open_entries():
            self.add(entry)

    def add(self, entry: Entry) -> None:
        if not entry.due:
            return
        with self._changed:
            heapq.heappush(self._waiting, (entry.due, entry.seq, entry))
            self._changed.notify()

    def run(self) -> None:
        """
        Follow up what is due until stopped.
        """
        while (entry := self._next()) is not None:
            try:
                self._follow_up[entry.kind](entry)
            except Closed:
                return
            except Exception:
                logger.exception("Entry %s of the ledger could not be followed up.", entry.seq)

    def run_due(self) -> None:
        """
        Follow up what is due by now, and return.
        """
        while (left := self._seconds_left()) is not None and left <= 0:
            _, _, entry = heapq.heappop(self._waiting)
            self._follow_up[entry.kind](entry)

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify()

    def _next(self) -> Entry | None:
        with self._changed:
            while not self._is_stopped:
                wait = self._seconds_left()
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(wait)
        return None

    def _seconds_left(self) -> float | None:
        return (self._waiting[0][0] - self._ledger.clock()).total_seconds() if self._waiting else None
