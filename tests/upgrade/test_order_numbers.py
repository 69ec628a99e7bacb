"""
Orders of an earlier release get numbers, while the shop goes on placing orders.

The last test measures that on PostgreSQL for docs/how-to/upgrade.md:

    UPGRADE_ORDERS=1000000 pytest -n 0 -o faulthandler_timeout=0 --log-cli-level=INFO tests/upgrade -k placed_while
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from threading import Event, Thread

import pytest
from django.core.management import call_command
from django.db import connection, connections

from messaging.kernel import order_numbers
from messaging.kernel.ids import new_id
from messaging.kernel.order_numbers import new_number, parse_number
from orders.models import Order
from tests.factories import CustomerFactory

ORDERS = int(os.environ.get("UPGRADE_ORDERS", "2500"))
PREVIOUS, UNIQUE, NUMBERED = "0004_plain_help_texts", "0007_unique_numbers", "0008_number_every_order"
ID = {"postgresql": "lpad(to_hex(n), 32, '0')::uuid", "sqlite": "printf('%032x', n)"}
INSERT = """
    INSERT INTO orders_order (id, idempotency_key, customer_id, fingerprint, status, cancel_reason, currency, total,
        refunded, email, phone, note, payment_method, placed_at{columns})
    {source} SELECT {id}, {key}, {customer}, '', 'placed', '', 'GBP', 4500,
        0, '', '', '', 'tok_visa', '2026-01-01 00:00:00+00:00'{values}
"""
GENERATED = "WITH RECURSIVE numbered(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbered WHERE n < {orders})"

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """The process was killed."""


@dataclass
class Inserts:
    """Orders that were placed one after the other, and how long the slowest took, in seconds."""

    made: int = 0
    slowest: float = 0.0
    errors: list[Exception] = field(default_factory=list)


def migrate(target: str) -> float:
    """Migrate the tables of orders, and return how many seconds that took."""
    began = time.monotonic()
    call_command("migrate", "orders", target, verbosity=0)
    return time.monotonic() - began


@pytest.fixture(autouse=True)
def customer() -> Iterator[int]:
    """Fill the tables of the previous release with orders of this customer."""
    customer = CustomerFactory().pk
    migrate(PREVIOUS)
    source = GENERATED.format(orders=ORDERS)
    generated = {"source": source, "id": ID[connection.vendor], "key": "n", "columns": "", "values": ""}
    statement = INSERT.format(customer=customer, **generated)
    with connection.cursor() as cursor:
        cursor.execute(f"{statement} FROM numbered")
    yield customer
    call_command("migrate", verbosity=0)  # also the later migrations of other apps, which depend on those of orders


@contextmanager
def placing(customer: int, *, numbered: bool) -> Iterator[Inserts]:
    """Place orders during the block, as this release does, or without a number, as the previous one does."""
    inserts, stop = Inserts(), Event()
    thread = Thread(target=_place_until, args=(stop, inserts, customer, numbered))
    thread.start()
    try:
        yield inserts
    finally:
        stop.set()
        thread.join()


def _place_until(stop: Event, inserts: Inserts, customer: int, numbered: bool) -> None:  # noqa: FBT001
    about = {"columns": ", number", "values": ", %s"} if numbered else {"columns": "", "values": ""}
    statement = INSERT.format(source="", id="%s", key="%s", customer=customer, **about)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '250ms'")
        while not stop.is_set():
            identity, began = new_id(), time.monotonic()
            with connection.cursor() as cursor:
                cursor.execute(statement, [identity, str(identity), *([new_number()] if numbered else [])])
            inserts.slowest = max(inserts.slowest, time.monotonic() - began)
            inserts.made += 1
            stop.wait(0.005)
    except Exception as error:  # noqa: BLE001  (the test judges it)
        inserts.errors.append(error)
    finally:
        connections.close_all()


def test_a_migration_that_was_killed_goes_on_where_it_was(monkeypatch):
    migration = import_module(f"orders.migrations.{NUMBERED}")
    drawn = iter([new_number() for _ in range(1_500)])
    monkeypatch.setattr(migration, "new_number", lambda: _next_or_die(drawn))
    with pytest.raises(Killed):
        migrate(NUMBERED)
    monkeypatch.undo()
    before = dict(Order.objects.exclude(number="").values_list("pk", "number"))

    migrate(NUMBERED)

    after = dict(Order.objects.values_list("pk", "number"))
    assert (len(before), len(after), len(set(after.values()))) == (1_000, ORDERS, ORDERS)
    assert before.items() <= after.items()
    assert all(parse_number(number) == number for number in after.values())


def _next_or_die(drawn: Iterator[str]) -> str:
    for number in drawn:
        return number
    raise Killed


def test_a_number_that_is_taken_is_drawn_again(monkeypatch):
    bits = iter([1, 1, *range(2, 2 * ORDERS)])
    monkeypatch.setattr(order_numbers, "randbits", lambda _: next(bits))

    migrate(NUMBERED)

    assert Order.objects.values("number").distinct().count() == Order.objects.exclude(number="").count() == ORDERS


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
def test_orders_are_placed_while_it_runs(customer):
    with placing(customer, numbered=False) as of_previous:
        added = migrate(UNIQUE)
    with placing(customer, numbered=True) as of_this:
        took = migrate(NUMBERED)

    logger.info("%d orders: columns and index %.1f s, numbers %.1f s", ORDERS, added, took)
    for release, inserts in {"previous": of_previous, "this": of_this}.items():
        logger.info("slowest of %d inserts of %s release: %.0f ms", inserts.made, release, inserts.slowest * 1e3)
    assert (of_previous.errors, of_this.errors) == ([], [])
    assert Order.objects.values("number").distinct().count() == ORDERS + of_previous.made + of_this.made
