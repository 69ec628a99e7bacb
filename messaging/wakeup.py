"""
Waking idle workers: a hint that something was published, never the delivery itself.

A lost hint costs one poll (`POLL_SECONDS`), nothing else. On PostgreSQL a publisher sends NOTIFY, but only while a
worker is idle: an idle worker holds an advisory lock in shared mode, and a publisher that gets the lock in exclusive
mode knows that no worker waits. NOTIFY inside the business transaction would halve the commits per second, since it
serialises them. SQLite needs no notification: an idle worker polls `PRAGMA data_version`, which changes when another
connection commits.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from django.db import DEFAULT_DB_ALIAS, connection, connections

POLL_SECONDS = 0.25
DATA_VERSION_POLL_SECONDS = 0.004
CHANNEL = "messaging"
IDLE_LOCK = 0x6D657373  # "mess": one application-wide advisory lock number


class Waiter(Protocol):
    """
    A connection on which an idle worker waits.
    """

    def subscribed(self) -> AbstractContextManager[None]:
        """
        Notice what is published inside the block.
        """

    def wait(self, stop: threading.Event, seconds: float) -> None:
        """
        Return when something may have been published, after so many seconds, or soon after `stop` is set.
        """


def notify() -> None:
    """
    Wake the idle workers, if there are any.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT CASE WHEN NOT pg_try_advisory_xact_lock(%s) THEN pg_notify(%s, '') END", [IDLE_LOCK, CHANNEL]
            )


@contextmanager
def open_waiter() -> Iterator[Waiter]:
    """
    Open a connection for waiting only, and close it at the end of the block.
    """
    own = connections.create_connection(DEFAULT_DB_ALIAS)
    own.connect()
    try:
        with own.wrap_database_errors:  # the relay knows Django's database errors, not those of the driver
            yield _PostgresWaiter(own.connection) if own.vendor == "postgresql" else _SqliteWaiter(own.connection)
    finally:
        own.close()


class _PostgresWaiter:
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        raw.execute(f"LISTEN {CHANNEL}")

    @contextmanager
    def subscribed(self) -> Iterator[None]:
        self._raw.execute("SELECT pg_advisory_lock_shared(%s)", [IDLE_LOCK])
        try:
            yield
        finally:
            self._raw.execute("SELECT pg_advisory_unlock_shared(%s)", [IDLE_LOCK])

    def wait(self, stop: threading.Event, seconds: float) -> None:
        if not stop.is_set():
            list(self._raw.notifies(timeout=seconds, stop_after=1))


class _SqliteWaiter:
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._seen_version = 0

    @contextmanager
    def subscribed(self) -> Iterator[None]:
        self._seen_version = self._version()
        yield

    def wait(self, stop: threading.Event, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (version := self._version()) == self._seen_version and time.monotonic() < end and not stop.is_set():
            time.sleep(DATA_VERSION_POLL_SECONDS)
        self._seen_version = version

    def _version(self) -> int:
        version: int = self._raw.execute("PRAGMA data_version").fetchone()[0]
        return version
