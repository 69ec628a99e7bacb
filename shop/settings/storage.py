"""
The database and the cache: what the shop adds to their URLs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

SQLITE_ENGINE = "messaging.kernel.sqlite"

TEMPORARY_ALIAS = "temporary"
TEMPORARY = {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:"}
"""A database of one connection, in memory and on disk, which SQLite deletes when the connection ends."""


def is_sqlite(database: Mapping[str, Any]) -> bool:
    """
    Return whether a value of DATABASES is an SQLite database.
    """
    return bool(database["ENGINE"] == "django.db.backends.sqlite3")


def database(parsed: dict[str, Any], *, lease_seconds: int) -> dict[str, Any]:
    """
    Return a parsed database URL with the options that transactions of the shop need.
    """
    options = (
        {
            # IMMEDIATE: a transaction that begins with a read and then writes would fail at once with "database is
            # locked", whatever the timeout. FULL: an accepted order survives a power cut.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
        if is_sqlite(parsed)
        else {
            # Ends the transaction of a frozen worker, and so its row locks, when its lease ends.
            "options": f"-c idle_in_transaction_session_timeout={lease_seconds * 1000}",
            # Lets cursors prepare statements that ask for it (`fetch_all`, `bulk_copy`); Django's own never do.
            "prepare_threshold": 5,
        }
    )
    return parsed | {
        "ENGINE": SQLITE_ENGINE if is_sqlite(parsed) else parsed["ENGINE"],
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options | parsed.get("OPTIONS", {}),
        # A file, because connections to a database in memory do not lock each other out.
        "TEST": {"NAME": f"{parsed['NAME']}.test.sqlite3"} if is_sqlite(parsed) else {},
    }


def read_only(parsed: dict[str, Any]) -> dict[str, Any]:
    """
    Return a parsed database URL for reading, with transactions that may stay idle while other databases are read.
    """
    if is_sqlite(parsed):
        # By URI, because SQLite would create a file that does not exist.
        name = f"file:{quote(str(Path(parsed['NAME']).absolute()))}?mode=rw"
        options = {"timeout": 20, "init_command": "PRAGMA query_only = ON;"}
        return parsed | {"ENGINE": SQLITE_ENGINE, "NAME": name, "OPTIONS": options}
    options = {"options": "-c default_transaction_read_only=on -c idle_in_transaction_session_timeout=0"}
    return parsed | {"OPTIONS": parsed.get("OPTIONS", {}) | options}


def cache(redis_url: str) -> dict[str, Any]:
    """
    Return the cache at a Redis URL, or one in the memory of each process.
    """
    if not redis_url:
        # Rate limits use a key per address, and an attacker may use many addresses.
        options = {"MAX_ENTRIES": 100_000}
        return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": options}
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": redis_url,
        # Every request uses the cache, so it must fail fast.
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }
