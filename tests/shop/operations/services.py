"""
A database, divided into those that services would have left.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from django.test import override_settings
from django.utils import timezone

from messaging.contracts import event_types
from messaging.kernel.databases import adapt, placeholders, read_uuid
from messaging.kernel.ids import new_id
from orders.models import Order
from shop.settings.groups import CONTEXTS, OperatorSettings
from shop.settings.storage import TEMPORARY, TEMPORARY_ALIAS
from tests.processes import Finished, database_url, manage, run
from tests.shop.operations.audit.day import Day

CONFIRMED = "orders.order_confirmed"

SEND = """
    INSERT INTO messaging_delivery (
        message_id, subscriber, key, status, due_at, delivered_at, delayed, suspect, attempts, deferrals, error_class,
        fingerprint
    )
    SELECT message.id, 'messaging.transport', message.key,
        CASE WHEN waiting.id IS NULL THEN 'delivered' ELSE 'pending' END, coalesce(waiting.due_at, published_at),
        CASE WHEN waiting.id IS NULL THEN published_at END, waiting.id IS NOT NULL, false, 0, 0, '', ''
    FROM messaging_outboxmessage AS message
    LEFT JOIN messaging_delivery AS waiting ON waiting.message_id = message.id AND waiting.delayed
        AND waiting.status = 'pending'
    WHERE message.type IN ({types})
"""
"""Each event that leaves its service was sent, except those that are published for later."""


@dataclass(frozen=True)
class Services:
    """
    Connections to the databases by context.
    """

    databases: Mapping[str, BaseDatabaseWrapper]

    @property
    def environment(self) -> dict[str, str]:
        return {
            f"{context.upper()}_DATABASE_URL": database_url(database.settings_dict["NAME"])
            for context, database in self.databases.items()
        }

    def execute(self, context: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """
        Execute a statement in the database of a context, and return the rows that it selects.
        """
        with self.databases[context].cursor() as cursor:
            cursor.execute(statement, [adapt(parameter) for parameter in parameters])
            return cursor.fetchall() if cursor.description else []

    def publish(
        self, context: str, event: str, key: str, subscriber: str, *, id_: UUID | None = None, **fields: str
    ) -> UUID:
        """
        Insert a message with a delivery into the database of a context, and return its id.
        """
        id_, now = id_ or new_id(), timezone.now()
        message = {"id": id_, "type": event, "version": 1, "key": key, "payload": fields.pop("payload", "{}")}
        self._insert(
            context, "messaging_outboxmessage", **message, correlation_id=id_, traceparent="", published_at=now
        )
        self.deliver(context, id_, key, subscriber, due_at=now, **fields)
        return id_

    def deliver(
        self, context: str, message_id: UUID, key: str, subscriber: str, *, due_at: datetime, status: str = "pending"
    ) -> None:
        """
        Insert a delivery into the database of a context.
        """
        self._insert(
            context,
            "messaging_delivery",
            message_id=message_id,
            subscriber=subscriber,
            key=key,
            status=status,
            due_at=due_at,
            delivered_at=due_at if status == "delivered" else None,
            delayed=False,
            suspect=False,
            attempts=0,
            deferrals=0,
            error_class="",
            fingerprint="",
        )

    def hold_again(self, order: Order) -> None:
        """
        Undo in inventory what followed from the confirmation of an order of one red chair.
        """
        self.execute(
            "inventory",
            "UPDATE inventory_reservation SET status = 'held', ended_at = NULL WHERE order_id = %s",
            order.pk,
        )
        self.execute("inventory", "DELETE FROM inventory_stockmovement WHERE order_id = %s", order.pk)
        self.execute(
            "inventory",
            "UPDATE inventory_stockitem SET on_hand = on_hand + 1, reserved = reserved + 1 WHERE sku = 'RED-CHAIR'",
        )

    def lose(self, context: str, event: str, order: Order) -> UUID:
        """
        Delete an event about an order from the database of a context that has received it, and return its id.
        """
        message_id = self.id_of(event, order)
        for table, column in (("messaging_delivery", "message_id"), ("messaging_outboxmessage", "id")):
            self.execute(context, f"DELETE FROM {table} WHERE {column} = %s", message_id)
        return message_id

    def id_of(self, event: str, order: Order) -> UUID:
        """
        Return the id of the message of an event about an order.
        """
        [(message_id,)] = self.execute(
            event.partition(".")[0],
            "SELECT id FROM messaging_outboxmessage WHERE type = %s AND key = %s",
            event,
            str(order.pk),
        )
        return read_uuid(message_id)

    def _insert(self, context: str, table: str, **values: object) -> None:
        columns, marks = ", ".join(values), placeholders(values)
        self.execute(context, f"INSERT INTO {table} ({columns}) VALUES ({marks})", *values.values())

    def manage(self, *arguments: str, **environment: str) -> Finished:
        """
        Run a command as an operator.
        """
        return run(manage(*arguments), **self.environment, **environment)


@dataclass(frozen=True, kw_only=True)
class DayInServices:
    """
    A day, the database of a whole shop after it, and those of four services.
    """

    day: Day
    whole: BaseDatabaseWrapper
    services: Services


@contextmanager
def operating(databases: Mapping[str, BaseDatabaseWrapper], **urls: str) -> Iterator[Mapping[str, BaseDatabaseWrapper]]:
    """
    Make this process an operator's inside the block, over these databases by context. Return its connections by alias.

    :param urls: by context, to tell databases apart by them.
    """
    operator = OperatorSettings(**(urls or {context: str(id(database)) for context, database in databases.items()}))
    opened = {alias: databases[context] for context, alias in operator.aliases.items()}
    opened[TEMPORARY_ALIAS] = ConnectionHandler({DEFAULT_DB_ALIAS: TEMPORARY})[DEFAULT_DB_ALIAS]
    with (
        override_settings(OPERATOR=operator, DATABASE_ROUTERS=["shop.operations.databases.Router"]),
        using(opened),
    ):
        yield opened
        opened[TEMPORARY_ALIAS].close()


@contextmanager
def using(databases: Mapping[str, BaseDatabaseWrapper]) -> Iterator[None]:
    """
    Use these connections by alias inside the block.
    """
    own = connections[DEFAULT_DB_ALIAS]
    for alias, database in databases.items():
        connections[alias] = database
    try:
        yield
    finally:
        for alias in databases:
            del connections[alias]
        connections[DEFAULT_DB_ALIAS] = own


@contextmanager
def divided(folder: Path, *services: tuple[str, ...]) -> Iterator[Services]:
    """
    Copy the default database for each service, which has these contexts, and leave there what the service would have
    written. The copies are dropped in the end.
    """
    with copied(folder, [service[0] for service in services]) as copies:
        databases = dict(zip(services, copies, strict=True))
        for service, database in databases.items():
            with database.cursor() as cursor:
                for statement in _division(service):
                    cursor.execute(statement)
        yield Services({context: database for service, database in databases.items() for context in service})


@contextmanager
def copied(folder: Path, names: Sequence[str]) -> Iterator[list[BaseDatabaseWrapper]]:
    """
    Copy the default database, and drop the copies in the end.
    """
    if connection.vendor == "sqlite":
        for name in names:
            with connection.cursor() as cursor:
                cursor.execute(f"VACUUM INTO '{folder / name}.sqlite3'")
        with _connected([str(folder / f"{name}.sqlite3") for name in names]) as databases:
            yield databases
        return
    original = connection.settings_dict["NAME"]
    names = [f"{original}_{name}_{token_hex(2)}" for name in names]
    connection.close()
    with connection._nodb_cursor() as cursor:
        for name in names:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{original}"')
        try:
            with _connected(names) as databases:
                yield databases
        finally:
            for name in names:
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _connected(names: Sequence[str]) -> Iterator[list[BaseDatabaseWrapper]]:
    databases = [connection.copy(name) for name in names]
    for database, name in zip(databases, names, strict=True):
        database.settings_dict["NAME"] = name
    try:
        yield databases
    finally:
        for database in databases:
            database.close()


def _division(contexts: Sequence[str]) -> Iterator[str]:
    """
    Return the statements that make a copy the database of a service.
    """
    others = [context for context in CONTEXTS if context not in contexts]
    cascade = "" if connection.vendor == "sqlite" else " CASCADE"
    if not cascade:
        yield "PRAGMA foreign_keys = OFF"
    for context in others:
        for model in apps.get_app_config(context).get_models():
            yield f"DROP TABLE {model._meta.db_table}{cascade}"
    here = " OR ".join(f"subscriber LIKE '{context}.%'" for context in contexts)
    published = [type_ for type_ in event_types() if type_.partition(".")[0] in contexts]
    types = ", ".join(repr(type_) for type_ in published if not event_types()[type_].internal) or "''"
    yield SEND.format(types=types)
    yield f"DELETE FROM messaging_delivery WHERE NOT ({here} OR subscriber LIKE 'messaging.%')"
    received = f"SELECT id FROM messaging_outboxmessage WHERE type NOT IN ({types})"
    yield f"DELETE FROM messaging_delivery WHERE status = 'pending' AND delayed AND message_id IN ({received})"
    yield (
        f"DELETE FROM messaging_outboxmessage WHERE type NOT IN ({', '.join(map(repr, published))}) AND NOT EXISTS"
        " (SELECT 1 FROM messaging_delivery WHERE message_id = messaging_outboxmessage.id)"
    )
