"""
Moving a context here from the database of a service that no longer has it: its rows, then its deliveries.

Each database has one transaction. That here commits first: a process that is killed between the two commits leaves rows
in both databases, and moving again deletes them from the other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import AutoField, Model
from django.db.utils import ConnectionHandler

from messaging.kernel.databases import TRY_LOCK, Busy, exclusive_transaction
from messaging.moving import StillDelivering, move_deliveries
from shop.settings import storage
from shop.settings.environment import Environment

SOURCE = "source"
"""The alias of the other database."""

LOCK = "move_context"
ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, kw_only=True)
class Moved:
    """
    How many rows of a context, and deliveries to its subscribers.
    """

    rows: int
    deliveries: int


def move_context(context: str, url: str, *, lease_seconds: int, now: datetime) -> Moved:
    """
    Move the rows of a context and the deliveries to its subscribers here. Rows that exist here stay as they are.

    :param url: of the other database.
    :raises CommandError: if it cannot be used, has another release of the tables, or is this one, or if a worker of it
        still delivers to the context. Nothing is moved.
    """
    models = list(apps.get_app_config(context).get_models())
    try:
        with _connected(url, lease_seconds=lease_seconds), transaction.atomic(SOURCE):
            _require_same_migrations(context)
            _lock(models)
            with exclusive_transaction(LOCK):
                return _move(context, models, now)
    except Busy as error:
        raise CommandError("Both URLs are of the same database, or another move_context runs.") from error
    except StillDelivering as error:
        raise CommandError(f"{error} Stop the workers that still run {context}, then run it again.") from error
    except DatabaseError as error:
        raise CommandError(f"Nothing was moved: {error}") from error


def _move(context: str, models: Sequence[type[Model]], now: datetime) -> Moved:
    rows = sum(_copy(model) for model in models)
    with connections[SOURCE].cursor() as source:
        for model in reversed(models):
            source.execute(f"DELETE FROM {model._meta.db_table}")  # noqa: S608  (our own names)
    return Moved(rows=rows, deliveries=move_deliveries(context, source=SOURCE, now=now))


def _copy(model: type[Model]) -> int:
    """
    Copy the rows of a model, and return how many it has in the other database.
    """
    number = 0
    rows = model._meta.base_manager.using(SOURCE).order_by("pk").iterator(ROWS_AT_ONCE)
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        number += len(chunk)
        model._meta.base_manager.bulk_create(list(_unknown(model, chunk)), ignore_conflicts=True)
    if number and isinstance(model._meta.pk, AutoField):
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [model]):
                cursor.execute(statement)
    return number


def _unknown(model: type[Model], rows: Sequence[Model]) -> Iterator[Model]:
    """
    Yield the rows that are not here. A generated id that another row has here is generated again: no other table of a
    context refers to one.
    """
    is_generated = isinstance(model._meta.pk, AutoField)
    present = model._meta.base_manager.in_bulk([row.pk for row in rows]) if is_generated else {}
    for row in rows:
        if row.pk not in present:
            yield row
        elif _values(row) != _values(present[row.pk]):
            row.pk = None
            yield row


def _values(row: Model) -> list[object]:
    return [getattr(row, field.attname) for field in row._meta.concrete_fields]


@contextmanager
def _connected(url: str, *, lease_seconds: int) -> Iterator[None]:
    """
    Connect to the other database as `SOURCE` inside the block.
    """
    parsed = Environment.parsed_database(url, "--from")
    _require_other_file(parsed)
    database = storage.database(parsed, lease_seconds=lease_seconds)
    connections[SOURCE] = ConnectionHandler({DEFAULT_DB_ALIAS: {}, SOURCE: database}).create_connection(SOURCE)
    try:
        yield
    finally:
        connections[SOURCE].close()
        del connections[SOURCE]


def _require_other_file(parsed: Mapping[str, Any]) -> None:
    """
    Reject a file that does not exist, which SQLite would create, and the file of the database here.
    """
    if not storage.is_sqlite(parsed):
        return
    if not Path(parsed["NAME"]).exists():
        raise CommandError(f"There is no database {parsed['NAME']}.")
    if connection.vendor == "sqlite" and Path(parsed["NAME"]).samefile(connection.settings_dict["NAME"]):
        raise CommandError("Both URLs are of the same database.")


def _require_same_migrations(context: str) -> None:
    here, there = (_migrations(alias, {"messaging", context}) for alias in (DEFAULT_DB_ALIAS, SOURCE))
    if here != there:
        raise CommandError("The databases are of different releases: run `manage.py migrate` for both.")


def _migrations(alias: str, apps_: Iterable[str]) -> set[tuple[str, str]]:
    applied = MigrationRecorder(connections[alias]).applied_migrations()
    return {migration for migration in applied if migration[0] in apps_}


def _lock(models: Sequence[type[Model]]) -> None:
    """
    Keep processes that still run the context from writing to its tables. SQLite locks the whole database.
    """
    if connections[SOURCE].vendor == "postgresql":
        tables = ", ".join(model._meta.db_table for model in models)
        with connections[SOURCE].cursor() as cursor:
            cursor.execute(TRY_LOCK, [LOCK])
            cursor.execute(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
