"""
Statements that differ between PostgreSQL and SQLite: bulk inserts, asynchronous commit, advisory locks.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from operator import attrgetter
from threading import Lock
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import AutoField, Model

TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"

COMMIT_ASYNC = "set_config('synchronous_commit', 'off', true)"
"""`async_commit` on PostgreSQL in the FROM clause of the only statement that writes, which saves a round trip."""
FLUSH = "SELECT pg_logical_emit_message(true, 'flush', '')"
"""Commits an entry in the log that nothing reads: this waits until all earlier commits are on disk, too."""

Row = Sequence[Any]


def bulk_copy(model: type[Model], fields: Sequence[str], rows: Iterable[Row]) -> None:
    """
    Insert rows by COPY FROM STDIN on PostgreSQL, and by one prepared INSERT on SQLite and in `pipelined`.

    `bulk_create` takes 45 µs of Python for a row of the outbox, this 5 to 10 µs. COPY returns no generated keys, and
    fields convert no values: these are to be what the driver adapts, such as UUIDs and datetimes.

    :param fields: the columns, in the order of each row's values.
    """
    own, target = _own_connection(), _target_of_insert(model, tuple(fields))
    if own.vendor == "postgresql" and not _is_pipelined(own):
        with own.wrap_database_errors, own.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    else:
        with _preparing_cursor(own) as cursor:
            statement = f"INSERT INTO {target} VALUES ({placeholders(fields)})"  # noqa: S608  (our own names)
            cursor.executemany(statement, list(rows) if own.vendor == "postgresql" else list(map(_adapted, rows)))


def bulk_copy_instances(instances: Sequence[Model]) -> None:
    """
    Insert new instances of a model by `bulk_copy`. Their generated ids stay unset, and no field converts their values.
    """
    if instances:
        columns = _stored_columns(type(instances[0]))
        bulk_copy(type(instances[0]), [*columns.values()], map(attrgetter(*columns), instances))


def insert_new(instances: Sequence[Model]) -> set[UUID]:
    """
    Insert new instances of a model by `insert_new_rows`, and return the primary keys of the inserted ones.
    """
    columns = _stored_columns(type(instances[0]))
    keys = insert_new_rows(type(instances[0]), [*columns.values()], map(attrgetter(*columns), instances))
    return set(map(read_uuid, keys))


def insert_new_rows(model: type[Model], fields: Sequence[str], rows: Iterable[Row]) -> list[Any]:
    """
    Insert rows, except those that a unique constraint excludes, by one INSERT … ON CONFLICT DO NOTHING, and return the
    primary keys of the inserted ones, as the driver reads them.

    PostgreSQL gets all rows as one JSON text: 11 µs of Python for a row of the inbox instead of 80 for its parameters.

    :param fields: the columns, in the order of each row's values. No field converts these.
    """
    target, values = _target_of_insert(model, tuple(fields)), list(rows)
    if connection.vendor == "postgresql":
        columns, table = ", ".join(fields), connection.ops.quote_name(model._meta.db_table)
        source = f"SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s)"  # noqa: S608  (our own names)
        parameters = [msgspec.json.encode([_as_json(fields, row) for row in values]).decode()]
    else:
        source = f"VALUES {', '.join([f'({placeholders(fields)})'] * len(values))}"
        parameters = list(chain.from_iterable(values))
    statement = f"INSERT INTO {target} {source} ON CONFLICT DO NOTHING RETURNING {model._meta.pk.column}"
    return [key for (key,) in _execute(Statement(statement, parameters)).fetchall()]


def _as_json(fields: Sequence[str], row: Row) -> dict[str, Any]:
    """
    Return a row as PostgreSQL reads it from JSON: bytes in its hexadecimal format.
    """
    return {
        field: f"\\x{value.hex()}" if isinstance(value, bytes) else value
        for field, value in zip(fields, row, strict=True)
    }


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


@contextmanager
def visible_before_flush() -> Iterator[None]:
    """
    Run a transaction whose changes others read, and work on, while its log is flushed; return when it is on disk.

    What they commit is flushed after it, so a crash of the server never leaves their work without it. SQLite flushes as
    it commits. Inside another transaction this does nothing.
    """
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        with async_commit():
            yield
        with connection.cursor() as cursor:
            cursor.execute(FLUSH)
    else:
        with transaction.atomic():
            yield


def insert_once(table: str, values: Mapping[str, Any]) -> bool:
    """
    Insert a row by INSERT … ON CONFLICT DO NOTHING with asynchronous commit; return whether it was new.
    """
    marks = placeholders(values)
    if connection.vendor == "postgresql" and not connection.in_atomic_block:
        # One statement instead of four: BEGIN, SET LOCAL, INSERT, COMMIT.
        marks += f" FROM {COMMIT_ASYNC}"
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
    if isinstance(value, (UUID, datetime)) and (own := _own_connection()).vendor == "sqlite":
        return value.hex if isinstance(value, UUID) else own.ops.adapt_datetimefield_value(value)
    return value


def read_uuid(value: UUID | str) -> UUID:
    """
    Return a UUID from the result of a raw statement: SQLite stores it as text.
    """
    return value if isinstance(value, UUID) else UUID(value)


def read_moment(value: datetime | str | None) -> datetime | None:
    """
    Return a moment from the result of a raw statement: SQLite stores it as text, in UTC.
    """
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value


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


def _own_connection() -> Any:  # `django.db.connection` looks it up again for each attribute
    return connections[DEFAULT_DB_ALIAS]


def _is_pipelined(own: Any) -> bool:
    return own.in_atomic_block and bool(own.connection.pgconn.pipeline_status)


@cache
def _target_of_insert(model: type[Model], fields: tuple[str, ...]) -> str:
    columns = ", ".join(map(connection.ops.quote_name, fields))
    return f"{connection.ops.quote_name(model._meta.db_table)} ({columns})"


@cache
def _stored_columns(model: type[Model]) -> Mapping[str, str]:  # by attribute, without a generated id
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    return {field.attname: str(field.column) for field in fields}


def _execute(statement: Statement) -> CursorWrapper:
    cursor = _preparing_cursor(_own_connection())
    cursor.execute(statement.sql, _adapted(statement.parameters))
    return cursor


def _adapted(row: Row) -> Row:
    return [adapt(value) for value in row]


def _preparing_cursor(own: Any) -> CursorWrapper:
    """
    Return a cursor that prepares its statement on the server: one of Django's own on PostgreSQL prepares none, and
    binds parameters in the client.
    """
    if own.vendor == "sqlite":
        return cast("CursorWrapper", own.cursor())
    import psycopg  # takes a tenth of a second, which commands on SQLite need not wait

    own.close_if_health_check_failed()
    own.ensure_connection()
    return cast("CursorWrapper", own._prepare_cursor(psycopg.Cursor(own.connection)))  # noqa: SLF001
