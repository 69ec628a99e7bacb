"""
The databases of all contexts: one of each service in an operator's process, the only one in any other.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from messaging.contracts import Event, home_context
from messaging.models import OutboxMessage
from messaging.subscribers import subscribers_of

BEGIN = {"sqlite": "BEGIN DEFERRED", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}

STEPS_OF_SQLITE = 10_000
"""Instructions of its virtual machine between two looks at the clock."""

_read_from: ContextVar[str] = ContextVar("read_from", default="")


class Router:
    """
    Read the models of each context from its database. Messages are in each of them: where no alias and no instance says
    which, they are read from that of the orders, as are the accounts.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return _read_from.get() or settings.OPERATOR.aliases.get(model._meta.app_label)


@contextmanager
def reading_from(alias: str) -> Iterator[None]:
    """
    Read all models from this database inside the block.
    """
    reset = _read_from.set(alias)
    try:
        yield
    finally:
        _read_from.reset(reset)


def all_aliases() -> Sequence[str]:
    """
    Return the alias of each database once, that of the orders first.
    """
    return list(dict.fromkeys(settings.OPERATOR.aliases.values()))


def home_of(name: str) -> str | None:
    """
    Return the alias of the database of an event type's publisher, or of a subscriber; none for those of `messaging`,
    which every service has.
    """
    alias: str | None = settings.OPERATOR.aliases.get(home_context(name))
    return alias


def subscribers_elsewhere(event: type[Event]) -> Iterator[tuple[str, str]]:
    """
    Return the subscribers that receive events of this type over a broker, each with the alias of its database.
    """
    for subscriber in subscribers_of(event):
        home = home_of(subscriber.name)
        if home and home != home_of(event.type):
            yield subscriber.name, home


@contextmanager
def snapshot(alias: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """
    Read one committed state inside the block, or the state of the caller's transaction if there is one.

    `transaction.atomic` would take SQLite's write lock, because every transaction begins IMMEDIATE.
    """
    connection = connections[alias]
    if connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(BEGIN[connection.vendor])
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


@contextmanager
def snapshots(aliases: Sequence[str]) -> Iterator[None]:
    """
    Read one committed state of each database inside the block, all of nearly the same moment.
    """
    with ExitStack() as stack:
        for alias in aliases:
            stack.enter_context(snapshot(alias))
        for alias in aliases:
            # The first statement that reads a table determines the state.
            OutboxMessage.objects.using(alias).exists()
        yield


class TimeIsUp(Exception):
    """
    A block did not end in time.
    """


@contextmanager
def ending_at(deadline: float) -> Iterator[None]:
    """
    Cancel the statement of the default database that runs inside the block at this moment. The transaction around the
    block goes on.

    :param deadline: a moment of `time.monotonic`.
    :raises TimeIsUp: at that moment.
    """
    cancelling = _cancelling_in_sqlite if connection.vendor == "sqlite" else _cancelling_in_postgresql
    if time.monotonic() >= deadline:
        raise TimeIsUp
    try:
        with cancelling(connections[DEFAULT_DB_ALIAS], deadline):
            yield
    except OperationalError as error:
        if time.monotonic() < deadline:
            raise
        raise TimeIsUp from error


@contextmanager
def _cancelling_in_sqlite(own: BaseDatabaseWrapper, deadline: float) -> Iterator[None]:
    own.ensure_connection()
    raw = own.connection
    raw.set_progress_handler(lambda: time.monotonic() >= deadline, STEPS_OF_SQLITE)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


@contextmanager
def _cancelling_in_postgresql(own: BaseDatabaseWrapper, deadline: float) -> Iterator[None]:
    """
    Set `statement_timeout` in a savepoint, whose rollback takes it back.
    """
    milliseconds = max(1, round((deadline - time.monotonic()) * 1000))
    with own.cursor() as cursor:
        cursor.execute("SAVEPOINT in_time")
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(milliseconds)])
        try:
            yield
        finally:
            cursor.execute("ROLLBACK TO SAVEPOINT in_time")
