"""
What the hot path asks of PostgreSQL and of SQLite in different words.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import AutoField, Model

Row = Sequence[Any]


def bulk_copy(model: type[Model], fields: Sequence[str], rows: Iterable[Row]) -> None:
    """
    Insert rows of values in the order of `fields`, by COPY or one prepared statement.

    Messages are most of what a busy shop writes. `bulk_create` spends 45 µs of Python on such a row, this 5 to 10.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    columns = ", ".join(map(connection.ops.quote_name, fields))
    write = _copy if connection.vendor == "postgresql" else _insert
    write(f"{table} ({columns})", len(fields), rows)


def bulk_copy_instances(instances: Sequence[Model]) -> None:
    """
    Insert new instances of a model likewise, as their attributes stand: no field converts them, and they are not told
    the ids that the database gives them.
    """
    if instances:
        fields = [field for field in instances[0]._meta.concrete_fields if not isinstance(field, AutoField)]
        rows = ([getattr(instance, field.attname) for field in fields] for instance in instances)
        bulk_copy(type(instances[0]), [str(field.column) for field in fields], rows)


@contextmanager
def async_commit() -> Iterator[None]:
    """
    Commit without waiting for the disk.

    A claim that a power cut takes away was never made, since what is done under it commits later and flushes both.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit = off")
            yield
    else:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = NORMAL")
            try:
                with transaction.atomic():
                    yield
            finally:
                cursor.execute("PRAGMA synchronous = FULL")


def insert_once(table: str, values: Mapping[str, Any]) -> bool:
    """
    Insert a row, unless one like it is there, without waiting for the disk; tell whether it was new.
    """
    marks = ", ".join(["%s"] * len(values))
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        # A transaction of one statement instead of four.
        marks += " FROM set_config('synchronous_commit', 'off', true)"
    hurried = async_commit() if connection.vendor == "sqlite" else nullcontext()
    with hurried, connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(values)}) SELECT {marks} WHERE true ON CONFLICT DO NOTHING",
            [adapt(value) for value in values.values()],
        )
        return bool(cursor.rowcount)


class Busy(Exception):
    """
    Somebody is in a transaction of this name.
    """


@contextmanager
def exclusive_transaction(name: str) -> Iterator[None]:
    """
    Run a transaction unless one of the same name is running; waits for nobody.

    On SQLite, whose writers take turns anyway, only those of this process are refused; another's are waited for.

    :raises Busy: if one is.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic():
            if not _lock_until_commit(name):
                raise Busy(name)
            yield
    else:
        with _named(name), transaction.atomic():
            yield


def advisory_lock(name: str, *, shared: bool = False) -> None:
    """
    Wait until no other transaction is at this, and keep the others waiting until this one ends; those that share only
    wait for one that does not. SQLite's writers take turns anyway.
    """
    if connection.vendor == "postgresql":
        lock = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {lock}(hashtextextended(%s, 0))", [name])


def adapt(value: Any) -> Any:
    """
    Write a value as a parameter of a plain statement; SQLite knows neither ids nor moments.
    """
    if isinstance(value, UUID) and connection.vendor == "sqlite":
        return value.hex
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def read_uuid(value: UUID | str) -> UUID:
    """
    Read an id from the result of a plain statement; SQLite stores it as text.
    """
    return value if isinstance(value, UUID) else UUID(value)


def _lock_until_commit(name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        return bool(cursor.fetchone()[0])


_names: set[str] = set()
_names_guard = Lock()


@contextmanager
def _named(name: str) -> Iterator[None]:
    with _names_guard:
        if name in _names:
            raise Busy(name)
        _names.add(name)
    try:
        yield
    finally:
        _names.discard(name)


def _copy(target: str, _: int, rows: Iterable[Row]) -> None:
    with (
        connection.wrap_database_errors,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {target} FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _insert(target: str, width: int, rows: Iterable[Row]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {target} VALUES ({', '.join(['%s'] * width)})",  # noqa: S608  (names of our own models)
            [[adapt(value) for value in row] for row in rows],
        )
