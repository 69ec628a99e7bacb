"""
A copy of the databases of all services, on which the checks run as on the database of one.

Each database is read in one transaction, all at nearly the same moment. If an event passed between them meanwhile, so
that a receiver has it and its publisher has not, all are read again. The copy is a state in which the shop may have
been, with the events in transit that publishers have and receivers have not.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connections, router, transaction
from django.db.models import Field, Model, TextField

from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from messaging.kernel.databases import placeholders
from messaging.models import Attempt, Delivery, OperatorPause, OutboxMessage
from notifications.models import Notification
from orders.models import HistoryEntry, Order, OrderLine, OrderRefund
from payments.models import Capture, PaymentIntent, Refund
from shop.operations.databases import all_aliases, reading_from, snapshots
from shop.settings.storage import TEMPORARY_ALIAS

from . import transit

OF_CONTEXTS: Sequence[type[Model]] = (
    *(Order, OrderLine, HistoryEntry, OrderRefund),
    *(StockItem, StockMovement, Reservation, ReservationLine),
    *(PaymentIntent, Capture, Refund),
    Notification,
)
OF_MESSAGING: Sequence[type[Model]] = (OutboxMessage, Delivery, Attempt, OperatorPause)
"""The models that the checks read. Those of messaging have a table in each database."""

SAME_ROW: Mapping[type[Model], str] = {
    OutboxMessage: "id",
    Delivery: "message_id, subscriber",
    OperatorPause: "subscriber",
}
"""The columns in which rows of several databases are the same."""

GENERATED: Mapping[type[Model], Sequence[str]] = {Delivery: ["id"], Attempt: ["id", "delivery_id"]}
"""The columns in which different rows of several databases may be equal."""

JOINED = {"key", "order_id"}
"""The columns by which tables are joined, beside primary and foreign keys."""

AS_IN_SQLITE = {
    "uuid": "replace(CAST({} AS text), '-', '')",
    "timestamp with time zone": "to_char({}, 'YYYY-MM-DD HH24:MI:SS.US')",
    "boolean": "CAST({} AS integer)",
}
"""How PostgreSQL formats values as Django stores them in SQLite, by the type of the column."""

ROWS_AT_ONCE = 2_000
READINGS = 5


class NoConsistentState(Exception):
    """
    Each time the databases were read, events passed between them meanwhile.
    """


@contextmanager
def consistent_copy(now: datetime) -> Iterator[None]:
    """
    Read all models from a copy of all databases inside the block.

    :raises NoConsistentState: if an event passed between the databases each time that they were read.
    """
    for _ in range(READINGS):
        _read_all()
        if not transit.has_been_published_since(now):
            break
    else:
        raise NoConsistentState(
            f"each of {READINGS} times that the databases were read, an event passed between them meanwhile. Run the "
            "audit where the connections to all of them are faster, or when there are fewer orders"
        )
    transit.add_deliveries(now)
    with reading_from(TEMPORARY_ALIAS):
        yield


def _read_all() -> None:
    """
    Copy what the checks read into a new temporary database.
    """
    connections[TEMPORARY_ALIAS].close()
    with transaction.atomic(TEMPORARY_ALIAS), snapshots(all_aliases()):
        for model in (*OF_CONTEXTS, *OF_MESSAGING):
            _create_table(model)
        transit.create_tables()
        for model in OF_CONTEXTS:
            _copy(model, router.db_for_read(model))
        for model in OF_MESSAGING:
            for alias in all_aliases():
                _copy(model, alias, rows=_own_deliveries(alias) if model is Delivery else "true")
        for alias in all_aliases():
            # Of a context that has left another database, which may still have such rows.
            _copy(Delivery, alias, rows=f"NOT ({_own_deliveries(alias)})")
            transit.copy_undecoded(alias)
        for model in (*OF_CONTEXTS, *OF_MESSAGING):
            _create_indexes(model)


def _create_table(model: type[Model]) -> None:
    """
    Create a table. It has no constraints but one: databases that the audit is to report may violate the others.
    """
    copy, table = connections[TEMPORARY_ALIAS], model._meta.db_table
    columns = [f"{field.column} {field.db_type(copy)} DEFAULT ''" for field in model._meta.concrete_fields]
    if same := SAME_ROW.get(model):
        columns.append(f"UNIQUE ({same})")
    with copy.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} ({', '.join(columns)})")


def _create_indexes(model: type[Model]) -> None:
    """
    Index a table by what the checks join.
    """
    table = model._meta.db_table
    with connections[TEMPORARY_ALIAS].cursor() as cursor:
        for field in model._meta.concrete_fields:
            if field.primary_key or field.is_relation or field.column in JOINED:
                cursor.execute(f"CREATE INDEX {table}_{field.column} ON {table} ({field.column})")


def _copy(model: type[Model], alias: str, *, rows: str = "true") -> None:
    """
    Copy the rows of a model that fulfil a condition from a database, except those that the copy has, and except texts,
    which no check reads.
    """
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, TextField)]
    columns = ", ".join(str(field.column) for field in fields)
    values = ", ".join(_value(field, alias) for field in fields)
    table = model._meta.db_table
    select = f"SELECT {values} FROM {table} WHERE {rows}"  # noqa: S608  (our own names)
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({placeholders(fields)})"  # noqa: S608
    with connections[alias].chunked_cursor() as source, connections[TEMPORARY_ALIAS].cursor() as target:
        source.execute(select)
        while chunk := source.fetchmany(ROWS_AT_ONCE):
            target.executemany(insert, chunk)


def _value(field: "Field[Any, Any]", alias: str) -> str:
    """
    Return the expression for a column's value as SQLite stores it.
    """
    aliases = all_aliases()
    if field.column in GENERATED.get(field.model, ()):
        # Different ids for the rows of different databases, in the same order.
        return f"{field.column} * {len(aliases)} + {aliases.index(alias)}"
    if connections[alias].vendor == "sqlite":
        return f"+{field.column}"  # an expression, which Python's driver does not convert by the type of the column
    return AS_IN_SQLITE.get(field.db_type(connections[alias]) or "", "{}").format(field.column)


def _own_deliveries(alias: str) -> str:
    """
    Return the condition for deliveries whose subscribers are not in another database.
    """
    elsewhere = [context for context, home in settings.OPERATOR.aliases.items() if home != alias]
    return " AND ".join(f"subscriber NOT LIKE '{context}.%'" for context in elsewhere)
