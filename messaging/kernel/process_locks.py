"""
Numbered locks that end with the process that holds them, however it ends.

PostgreSQL: advisory locks of the session, on the calling thread's connection to the database. SQLite: `flock` on files
beside the database.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from django.db import connection

NAMESPACE = 0x776F726B
"""The first of the two numbers of an advisory lock; other locks of the project have one number ("work" in ASCII)."""


@contextmanager
def process_lock(number: int) -> Iterator[None]:
    """
    Hold a lock during the block, until the end of this process at the latest. On PostgreSQL it also ends with the
    connection of this thread, which is closed at the end of the block.

    :raises BlockingIOError: if an earlier connection still holds it, whose end the server has not noticed.
    """
    around = _advisory_lock if connection.vendor == "postgresql" else _file_lock
    with around(number):
        yield


@contextmanager
def only_one(name: str) -> Iterator[None]:
    """
    Run the block in one process and thread at a time. The lock ends with the process, or on PostgreSQL with its
    connection to the database.

    :raises BlockingIOError: if it runs elsewhere.
    """
    if connection.vendor == "sqlite":
        with Path(f"{connection.settings_dict['NAME']}-{name}").open("w") as file:
            flock(file, LOCK_EX | LOCK_NB)
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [name])
        if not cursor.fetchone()[0]:
            raise BlockingIOError(f"{name} runs elsewhere.")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])


def free_locks(numbers: Collection[int]) -> set[int]:
    """
    Return those of these numbers whose lock is not held.
    """
    if not numbers or connection.vendor == "sqlite":
        return {number for number in numbers if _is_free(_path(number))}
    with connection.cursor() as cursor:
        # In shared mode: processes that try at the same moment do not take each other for the holder.
        cursor.execute(
            "SELECT number FROM unnest(%s) AS number WHERE pg_try_advisory_xact_lock_shared(%s, number)",
            [list(numbers), NAMESPACE],
        )
        return {number for (number,) in cursor.fetchall()}


def remove_lock(number: int) -> None:
    """
    Remove the file of a lock that will not be held again; PostgreSQL has none.
    """
    if connection.vendor == "sqlite":
        _path(number).unlink(missing_ok=True)


@contextmanager
def _advisory_lock(number: int) -> Iterator[None]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [NAMESPACE, number])
            if not cursor.fetchone()[0]:
                raise BlockingIOError(f"Lock {number} is still held.")
        yield
    finally:
        connection.close()


@contextmanager
def _file_lock(number: int) -> Iterator[None]:
    with _path(number).open("w") as file:
        flock(file, LOCK_EX)  # waits for processes that are just trying it
        yield


def _is_free(path: Path) -> bool:
    try:
        with path.open() as file:
            flock(file, LOCK_SH | LOCK_NB)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False
    return True


def _path(number: int) -> Path:
    return Path(f"{connection.settings_dict['NAME']}-worker-{number}")
