"""
Waking idle workers: a hint that something was published, never the delivery itself.

A lost hint costs one poll (`POLL_SECONDS`), nothing else. PostgreSQL notifies, but only while somebody is idle: an idle
worker holds an advisory lock in shared mode, and a publisher who can take that lock alone rings nobody. NOTIFY inside
the business transaction would halve the commits per second, for it serialises them. SQLite needs no ringing: an idle
worker watches `PRAGMA data_version`, which another connection's commit changes.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from django.db import DEFAULT_DB_ALIAS, connection, connections

POLL_SECONDS = 0.25
GLANCE_SECONDS = 0.004
CHANNEL = "messaging"
IDLE_LOCK = 0x6D657373  # "mess": one application-wide advisory lock number


class Bell(Protocol):
    def armed(self) -> AbstractContextManager[None]:
        """
        Hear whatever is published inside the block.
        """

    def wait(self, stop: threading.Event) -> None:
        """
        Return when something may have been published, after `POLL_SECONDS`, or soon after `stop` is set.
        """


def ring() -> None:
    """
    Wake the idle workers, if there are any.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT CASE WHEN NOT pg_try_advisory_xact_lock(%s) THEN pg_notify(%s, '') END", [IDLE_LOCK, CHANNEL]
            )


@contextmanager
def listening() -> Iterator[Bell]:
    """
    Keep a connection of one's own for the time of waiting, and hear the bell on it.
    """
    own = connections.create_connection(DEFAULT_DB_ALIAS)
    own.connect()
    try:
        with own.wrap_database_errors:  # the driver's own errors are unknown to whoever waits for a lost database
            yield _PostgresBell(own.connection) if own.vendor == "postgresql" else _SqliteBell(own.connection)
    finally:
        own.close()


class _PostgresBell:
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        raw.execute(f"LISTEN {CHANNEL}")

    @contextmanager
    def armed(self) -> Iterator[None]:
        self._raw.execute("SELECT pg_advisory_lock_shared(%s)", [IDLE_LOCK])
        try:
            yield
        finally:
            self._raw.execute("SELECT pg_advisory_unlock_shared(%s)", [IDLE_LOCK])

    def wait(self, stop: threading.Event) -> None:
        if not stop.is_set():
            list(self._raw.notifies(timeout=POLL_SECONDS, stop_after=1))


class _SqliteBell:
    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._seen = 0

    @contextmanager
    def armed(self) -> Iterator[None]:
        self._seen = self._version()
        yield

    def wait(self, stop: threading.Event) -> None:
        end = time.monotonic() + POLL_SECONDS
        while self._version() == self._seen and time.monotonic() < end and not stop.is_set():
            time.sleep(GLANCE_SECONDS)

    def _version(self) -> int:
        version: int = self._raw.execute("PRAGMA data_version").fetchone()[0]
        return version
