"""The databases of four services, which the process of the test reads and disturbs."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Min, Model

from messaging.contracts import Event, event_types
from messaging.models import Attempt, Delivery, OutboxMessage
from messaging.sending import TRANSPORT
from messaging.subscribers import subscribers_of
from shop.settings.groups import CONTEXTS
from tests.concurrency import verdict
from tests.database import drop_other_connections
from tests.split.shops import databases

FOR_LATER = ("orders.payment_due_soon", "orders.payment_overdue")
"""Events that are held back until their moment has come."""
LOCK_SECONDS = 3
ROWS_AT_ONCE = 1000


@contextmanager
def service_databases(folder: Path) -> Iterator[Mapping[str, str]]:
    """
    Yield the URLs of four databases by context, to which this process has connections whose aliases are the contexts.
    On PostgreSQL they are created, and dropped in the end.
    """
    with databases(folder) as base:
        urls = {context: f"{base.removesuffix('.sqlite3')}_{context}" for context in CONTEXTS}
        if connection.vendor == "postgresql":
            with psycopg.connect(base, autocommit=True) as server:
                for url in urls.values():
                    server.execute(f"CREATE DATABASE {name_of(url)}")
        with connected({context: _database(context, url) for context, url in urls.items()}):
            yield urls


def name_of(url: str) -> str:
    """Return the name of the database with this URL, or the path of its file."""
    return urlsplit(url).path[1:]


@contextmanager
def connected(databases: Mapping[str, BaseDatabaseWrapper]) -> Iterator[None]:
    """Let this process use these databases inside the block, by contexts as aliases."""
    for context, database in databases.items():
        connections[context] = database
    try:
        yield
    finally:
        for context, database in databases.items():
            database.close()
            del connections[context]


def _database(context: str, url: str) -> BaseDatabaseWrapper:
    database = connection.copy(context)
    database.settings_dict["NAME"] = name_of(url)
    return database


def stuck() -> int:
    """Return how many rows of all services are neither final nor delayed on purpose."""
    return sum(rows.using(context).count() for rows in verdict.unfinished() for context in _contexts_with(rows.model))


def in_transit() -> int:
    """Return how many events the broker has accepted that a service, which subscribes to them, has not stored."""
    return sum(len(_sent_to(context) - _stored_in(context)) for context in CONTEXTS)


def received() -> int:
    """Return how many events services have stored that other services have published."""
    return sum(len(_sent_to(context) & _stored_in(context)) for context in CONTEXTS)


def refused_by_the_broker() -> int:
    """Return how many attempts to send an event have failed."""
    failed = (Attempt.objects.using(context).filter(delivery__subscriber=TRANSPORT) for context in CONTEXTS)
    return sum(attempts.count() for attempts in failed)


def received_out_of_order() -> int:
    """
    Return how many events services have stored after one that the same service has published later for the same key.
    """
    return sum(
        _overtaken(publisher, receiver) for publisher in CONTEXTS for receiver in CONTEXTS if receiver != publisher
    )


def copy_into_one() -> None:
    """Copy the rows of all services into the database of the test, as if one program had written them."""
    with transaction.atomic():
        _copy(get_user_model(), "orders")
        for context in CONTEXTS:
            for model in apps.get_app_config(context).get_models():
                _copy(model, context)
        for number, context in enumerate(CONTEXTS):
            _copy(OutboxMessage, context)
            _copy(Delivery, context, pk=number)
            _copy(Attempt, context, pk=number, delivery_id=number)


def drop_connections(context: str) -> float:
    """
    End all sessions at the database of a service, and return the moment. SQLite has none: there, block all writers for
    LOCK_SECONDS.
    """
    if connection.vendor == "postgresql":
        assert drop_other_connections(context)
        return time.monotonic()
    with connections[context].cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        time.sleep(LOCK_SECONDS)
        cursor.execute("ROLLBACK")
    return time.monotonic()


def _contexts_with(model: type[Model]) -> list[str]:
    label = model._meta.app_label
    return [context for context in CONTEXTS if label in {context, "messaging"}]


def _stored_in(context: str) -> set[UUID]:
    return set(OutboxMessage.objects.using(context).values_list("pk", flat=True))


def _sent_to(context: str) -> set[UUID]:
    """Return the events of other services that the broker has accepted, and to which a service subscribes."""
    wanted = [event.type for event in event_types().values() if not event.internal and _has_subscriber(event, context)]
    sent: set[UUID] = set()
    for publisher in CONTEXTS:
        types = [type_ for type_ in wanted if type_.startswith(f"{publisher}.") and publisher != context]
        deliveries = Delivery.objects.using(publisher).filter(subscriber=TRANSPORT, status=Delivery.Status.DELIVERED)
        sent.update(deliveries.filter(message__type__in=types).values_list("message_id", flat=True))
    return sent


def _overtaken(publisher: str, receiver: str) -> int:
    stored = dict(Delivery.objects.using(receiver).values_list("message_id").annotate(Min("pk")))
    sent = Delivery.objects.using(publisher).filter(subscriber=TRANSPORT).exclude(message__type__in=FOR_LATER)
    latest: dict[str, int] = {}
    overtaken = 0
    for message, key in sent.order_by("pk").values_list("message_id", "key"):
        if message in stored:
            overtaken += stored[message] < latest.get(key, 0)
            latest[key] = stored[message]
    return overtaken


def _has_subscriber(event: type[Event], context: str) -> bool:
    return any(subscriber.name.startswith(f"{context}.") for subscriber in subscribers_of(event))


def _copy(model: type[Model], context: str, **numbers: int) -> None:
    """
    Copy the rows of a model from the database of a service. What several services have of a message is the same row.

    :param numbers: the number of the service, by the columns of ids that have to differ from those of other services.
    """
    rows = list(model._base_manager.using(context).order_by("pk").iterator(ROWS_AT_ONCE))
    for row in rows:
        for column, number in numbers.items():
            setattr(row, column, getattr(row, column) * len(CONTEXTS) + number)
    several = model is OutboxMessage
    model._base_manager.bulk_create(rows, batch_size=ROWS_AT_ONCE, ignore_conflicts=several)
