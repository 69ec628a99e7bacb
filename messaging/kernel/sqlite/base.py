"""
Django's backend for SQLite, whose writes begin soon after the transaction before them has ended.

SQLite itself looks again after 1, 2, 5, 10 and up to 100 ms. Transactions take a few milliseconds and follow one
another without a gap of that length, so a write that has waited long is overtaken again and again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sqlite3 import SQLITE_BUSY
from threading import Lock
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

POLL_SECONDS = 0.001

TAKES_WRITE_LOCK = ("BEGIN", "INSERT", "UPDATE", "DELETE")
"""How statements begin that take the write lock outside a transaction."""

_turn = Lock()
"""Held by the only thread of this process that polls."""


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(self._execute_in_turn)

    def _execute_in_turn(self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        """
        Execute a statement. If it takes the write lock, wait for others for as long as the option `timeout` says.
        `executemany` outside a transaction is left to SQLite's own waiting: half of it may have been done.

        :raises OperationalError: if the database is locked for longer.
        """
        if many or self.connection.in_transaction or not sql.lstrip().startswith(TAKES_WRITE_LOCK):
            return execute(sql, params, many, context)
        deadline = time.monotonic() + self._timeout
        if not _turn.acquire(timeout=self._timeout):
            raise OperationalError("database is locked")
        try:
            with self._busy_at_once():
                return _poll(lambda: execute(sql, params, many, context), deadline)
        finally:
            _turn.release()

    @property
    def _timeout(self) -> float:
        return float(self.settings_dict["OPTIONS"].get("timeout", 5))

    @contextmanager
    def _busy_at_once(self) -> Iterator[None]:
        """
        Turn off SQLite's own waiting inside the block.
        """
        self.connection.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000)}")


def _poll(execute: Callable[[], Any], deadline: float) -> Any:
    while True:
        try:
            return execute()
        except OperationalError as error:
            is_busy = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF == SQLITE_BUSY  # without the extension
            if not is_busy or time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)
