"""
A database that an earlier release left in the middle of its work, run by this one.

The dumps in `data/` were made by b7769aa: about sixty orders in every state, when web server, workers and payment
simulator were killed. `answers_*` holds the requests that placed orders, by idempotency key, and their responses.
"""

import gzip
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psycopg
import pytest
from django.db import connection

from tests.processes import Finished, database_url, manage, run
from tests.programs import Cluster, PaymentSimulator, WebServer
from tests.waiting import eventually

DATA = Path(__file__).with_name("data")
PREVIOUS_GATEWAY = "payments.adapters.simulated.SimulatedGateway"
ADA = {"username": "ada", "password": "ada-counts-chairs", "name": "upgrade"}
UNFINISHED = "SELECT id FROM messaging_delivery WHERE status = 'pending'"
NEW_TABLES = {
    "messaging_deadlettergroup",
    "messaging_operatorpause",
    "messaging_receiverstate",
    "messaging_resolution",
    "messaging_subscriberpause",
    "messaging_worker",
    "notifications_preference",
    "notifications_queuedinminute",
    "notifications_suppression",
    "orders_ordernote",
    "orders_orderrefund",
    "payments_reconciliation",
}
COLUMNS = {
    "postgresql": "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 2",
    "sqlite": 'SELECT m.name, c.name, c.type, c."notnull" FROM sqlite_master m, pragma_table_info(m.name) c'
    " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, 2",
}

ADDED_COLUMNS = {
    *("messaging_delivery.failed_at", "messaging_delivery.resolution"),
    *(
        f"notifications_notification.{column}"
        for column in (
            *("attempts", "ended_at", "error", "html", "language", "number", "provider_id", "reason", "topic"),
            *("tried_at", "useful_until"),
        )
    ),
    *("orders_order.language", "orders_order.number"),
    *("payments_paymentintent.language", "payments_paymentintent.number", "payments_paymentintent.phone"),
    *("payments_refund.cause", "shop_account.language"),
}

NULLABLE_NOW = {"notifications_notification.order_id"}
"""Columns in which the earlier release writes no null, so that it may run beside this one."""


@dataclass(frozen=True)
class Dump:
    """
    A copy of the dumped database, and of the ledger of its payment gateway.
    """

    url: str
    ledger: Path

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        if connection.vendor == "postgresql":
            with psycopg.connect(self.url, autocommit=True) as server:
                return server.execute(statement).fetchall()
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as file:
            return file.execute(statement).fetchall()


def read(name: str) -> str:
    vendor = {"sqlite": "sqlite", "postgresql": "postgres"}[connection.vendor]
    return gzip.decompress((DATA / name.format(vendor)).read_bytes()).decode()


@contextmanager
def fresh_database(folder: Path) -> Iterator[str]:
    """
    Create a database beside that of the tests, load the dump into it, and drop it in the end.
    """
    if connection.vendor == "sqlite":
        load_file(folder / "shop.sqlite3", "shop_{}.sql.gz")
        yield f"sqlite:///{folder / 'shop.sqlite3'}"
        return
    url = f"{database_url()}_upgrade"
    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.execute(f'CREATE DATABASE "{name}"')
        with psycopg.connect(url, autocommit=True) as empty:
            empty.execute(read("shop_{}.sql.gz"))
        yield url
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def load_file(path: Path, name: str) -> Path:
    with closing(sqlite3.connect(path)) as file:
        file.executescript(read(name))
    return path


@pytest.fixture
def dump(tmp_path: Path) -> Iterator[Dump]:
    with fresh_database(tmp_path) as url:
        yield Dump(url, load_file(tmp_path / "ledger.sqlite3", "ledger_{}.sql.gz"))


class ThisRelease:
    """
    Web server, workers and payment simulator of this release on the dumped database, with short times.
    """

    def __init__(self, dump: Dump, folder: Path) -> None:
        self.environment = {
            "DATABASE_URL": dump.url,
            "DJANGO_SETTINGS_MODULE": "tests.concurrency.settings",
            "EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend",
            "ORDER_REMINDER_SECONDS": "2",
            "ORDER_PAYMENT_DUE_SECONDS": "4",
            "PAYMENT_GATEWAY": PREVIOUS_GATEWAY,
            "PAYMENT_WEBHOOK_PARKING_SECONDS": "3",
            "RELAY_IN_WEB": "off",
        }
        self.web = WebServer(folder / "web.log")
        options = {"ledger": dump.ledger, "callback_url": self.web.webhook_url}
        self.gateway = PaymentSimulator(folder / "gateway.log", environment=self.environment, **options)
        self.environment["PAYMENT_SIMULATOR_URL"] = self.gateway.address
        self.web.environment = self.environment
        self.workers = Cluster(folder / "cluster.log", workers=1, environment=self.environment)

    def manage(self, *arguments: str) -> Finished:
        return run(manage(*arguments), **self.environment)

    def repeat(self, answers: Mapping[str, Any]) -> dict[str, str]:
        """
        Send the requests again that placed orders, and return the responses by idempotency key.
        """
        token = json.loads(self._post("tokens", ADA))["token"]
        return {
            key: self._post(
                "orders", first["request"], **{"Authorization": f"Token {token}", "Idempotency-Key": key}
            ).decode()
            for key, first in answers.items()
        }

    def _post(self, resource: str, body: Mapping[str, object], **headers: str) -> bytes:
        address = f"{self.web.address}/api/v1/{resource}/"
        request = Request(address, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
        with urlopen(request) as response:
            return response.read()


@pytest.mark.django_db(transaction=True)
def test_finishes_every_order_and_adds_columns_only(dump, tmp_path):
    answers = json.loads(read("answers_{}.json.gz"))
    columns = dump.query(COLUMNS[connection.vendor])
    release = ThisRelease(dump, tmp_path)

    migrated = release.manage("migrate")
    recorded = dump.query("SELECT * FROM orders_orderrefund")
    with release.web, release.gateway, release.workers:
        repeated = release.repeat(answers)
        eventually(lambda: dump.query(UNFINISHED) == [], every=0.2)
        audited = release.manage("audit", "--json")

    assert migrated.status == 0, migrated.errors
    assert recorded
    present = dump.query(COLUMNS[connection.vendor])
    assert {f"{table}.{name}" for table, name, *_ in set(columns) - set(present)} == NULLABLE_NOW
    tables = {table for table, *_ in columns}
    assert {table for table, *_ in present} - tables == NEW_TABLES
    added = {f"{table}.{name}" for table, name, *_ in set(present) - set(columns) if table in tables}
    assert added == ADDED_COLUMNS | NULLABLE_NOW
    assert repeated == {key: first["answer"] for key, first in answers.items()}
    assert audited.status == 0, audited.output
