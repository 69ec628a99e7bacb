"""
Statements that differ between PostgreSQL and SQLite: bulk inserts, asynchronous commit, advisory locks.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import cache
from operator import attrgetter
from threading import Lock
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import AutoField, Model

TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"

Row = Sequence[Any]


def bulk_copy(model: type[Model], fields: Sequence[str], rows: Iterable[Row]) -> None:
    """
    Insert rows by COPY FROM STDIN on PostgreSQL, and by one prepared INSERT on SQLite and in `pipelined`.

    `bulk_create` takes 45 µs of Python for a row of the outbox, this 5 to 10 µs. COPY returns no generated keys, and
    fields convert no values: these are to be what the driver adapts, such as UUIDs and datetimes.

    :param fields: the columns, in the order of each row's values.
    """
    target = _target_of_insert(model, tuple(fields))
    if connection.vendor == "postgresql" and not _is_pipelined():
        _copy(f"COPY {target} FROM STDIN", rows)
    else:
        _execute_prepared(f"INSERT INTO {target} VALUES ({placeholders(fields)})", rows)  # noqa: S608  (our own names)


def bulk_copy_instances(instances: Sequence[Model]) -> None:
    """
    Insert new instances of a model by `bulk_copy`. Their generated ids stay unset, and no field converts their values.
    """
    if instances:
        columns = _stored_columns(type(instances[0]))
        bulk_copy(type(instances[0]), [*columns.values()], map(attrgetter(*columns), instances))


@contextmanager
def pipelined() -> Iterator[None]:
    """
    Send the statements of this block of a transaction without waiting for the result of each: libpq's pipeline mode. An
    error is raised at the end of the block. SQLite has no round trips to save.

    Six inserts of a row or two take 60 % of the time that COPY takes for them, with two round trips each.
    """
    if connection.vendor == "postgresql":
        with connection.wrap_database_errors, connection.connection.pipeline():
            yield
    else:
        yield


@contextmanager
def async_commit() -> Iterator[None]:
    """
    Run a transaction that commits without waiting for the flush of its log: `SET LOCAL synchronous_commit = off` on
    PostgreSQL, `PRAGMA synchronous = NORMAL` on SQLite. Inside another transaction this does nothing.

    A crash of the server may lose such a commit but never corrupts data. A lost claim does no harm: a later commit that
    depends on it, which waits for its flush, would have flushed the claim too.
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
    Insert a row by INSERT … ON CONFLICT DO NOTHING with asynchronous commit; return whether it was new.
    """
    marks = placeholders(values)
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        # One statement instead of four: BEGIN, SET LOCAL, INSERT, COMMIT.
        marks += " FROM set_config('synchronous_commit', 'off', true)"
    around = async_commit() if connection.vendor == "sqlite" else nullcontext()
    with around, connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(values)}) SELECT {marks} WHERE true ON CONFLICT DO NOTHING",
            [adapt(value) for value in values.values()],
        )
        return bool(cursor.rowcount)


class Busy(Exception):
    """
    Another transaction of this name is running.
    """


class Statement(NamedTuple):
    """
    A plain statement, for what each request runs: the ORM takes several times as long to build one.
    """

    sql: str
    parameters: Sequence[Any]


@contextmanager
def exclusive_transaction(name: str, *reads: Statement) -> Iterator[list[list[Row]]]:
    """
    Run a transaction unless another of the same name is running; never wait for it. Yield the rows of each read, which
    sees what an earlier transaction of this name committed.

    PostgreSQL: `pg_try_advisory_xact_lock`, in one round trip with BEGIN and the reads. SQLite has one writer at a
    time: another transaction of this process is refused, one of another process is waited for.

    :raises Busy: if another is running.
    """
    if connection.vendor == "postgresql":
        with transaction.atomic():
            with pipelined():
                cursors = [_execute(statement) for statement in (Statement(TRY_LOCK, [name]), *reads)]
            [[is_locked]], *rows = [cursor.fetchall() for cursor in cursors]
            if not is_locked:
                raise Busy(name)
            yield rows
    else:
        with _named(name), transaction.atomic():
            yield [fetch_all(read) for read in reads]


def fetch_all(read: Statement) -> list[Row]:
    """
    Return the rows that a statement selects. PostgreSQL prepares it.
    """
    with _execute(read) as cursor:
        return list(cursor.fetchall())


def advisory_lock(name: str, *, shared: bool = False) -> None:
    """
    Take a transaction-level advisory lock, and wait for transactions that hold it in a conflicting mode. It is released
    at the end of the transaction. Without effect on SQLite, which has one writer at a time.

    :param shared: take it in shared mode, which conflicts with exclusive mode only.
    """
    if connection.vendor == "postgresql":
        lock = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {lock}(hashtextextended(%s, 0))", [name])


def placeholders(values: Collection[object]) -> str:
    """
    Return the list of placeholders in a raw statement for these values.
    """
    return ", ".join(["%s"] * len(values))


def adapt(value: Any) -> Any:
    """
    Return a value as a parameter of a raw statement: SQLite has no types for UUIDs and datetimes.
    """
    if isinstance(value, UUID) and connection.vendor == "sqlite":
        return value.hex
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def read_uuid(value: UUID | str) -> UUID:
    """
    Return a UUID from the result of a raw statement: SQLite stores it as text.
    """
    return value if isinstance(value, UUID) else UUID(value)


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


def _is_pipelined() -> bool:
    return connection.in_atomic_block and bool(connection.connection.pgconn.pipeline_status)


@cache
def _target_of_insert(model: type[Model], fields: tuple[str, ...]) -> str:
    columns = ", ".join(map(connection.ops.quote_name, fields))
    return f"{connection.ops.quote_name(model._meta.db_table)} ({columns})"


@cache
def _stored_columns(model: type[Model]) -> Mapping[str, str]:  # by attribute, without a generated id
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    return {field.attname: str(field.column) for field in fields}


def _copy(statement: str, rows: Iterable[Row]) -> None:
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _execute(statement: Statement) -> CursorWrapper:
    cursor = _preparing_cursor()
    cursor.execute(statement.sql, [adapt(value) for value in statement.parameters])
    return cursor


def _execute_prepared(statement: str, rows: Iterable[Row]) -> None:
    adapted = ([adapt(value) for value in row] for row in rows) if connection.vendor == "sqlite" else rows
    with _preparing_cursor() as cursor:
        cursor.executemany(statement, list(adapted))


def _preparing_cursor() -> CursorWrapper:
    """
    Return a cursor that prepares its statement on the server: one of Django's own on PostgreSQL prepares none, and
    binds parameters in the client.
    """
    if connection.vendor == "sqlite":
        return connection.cursor()
    import psycopg  # takes a tenth of a second, which commands on SQLite need not wait

    connection.close_if_health_check_failed()
    connection.ensure_connection()
    own = psycopg.Cursor(connection.connection)
    return cast("CursorWrapper", connection._prepare_cursor(own))  # type: ignore[attr-defined]  # noqa: SLF001
