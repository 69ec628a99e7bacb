"""Dumps of databases that earlier releases left in the middle of their work, and this release on such a database."""

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
from django.db import connection

from tests.processes import Finished, manage, run
from tests.programs import Cluster, PaymentSimulator, WebServer

DATA = Path(__file__).with_name("data")
ADA = {"username": "ada", "password": "ada-counts-chairs", "name": "upgrade"}
COLUMNS = {
    "postgresql": "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 2",
    "sqlite": 'SELECT m.name, c.name, c.type, c."notnull" FROM sqlite_master m, pragma_table_info(m.name) c'
    " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY 1, 2",
}
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.concurrency.settings",
    "EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend",
    "ORDER_REMINDER_SECONDS": "2",
    "ORDER_PAYMENT_DUE_SECONDS": "4",
    "PAYMENT_WEBHOOK_PARKING_SECONDS": "3",
    "RELAY_IN_WEB": "off",
}


def path_of(release: str, name: str) -> Path:
    """Return the path of a release's file for the database in use, such as shop.sql."""
    stem, _, suffix = name.partition(".")
    vendor = {"sqlite": "sqlite", "postgresql": "postgres"}[connection.vendor]
    return DATA / release / f"{stem}_{vendor}.{suffix}.gz"


def read(release: str, name: str) -> str:
    return gzip.decompress(path_of(release, name).read_bytes()).decode()


@dataclass(frozen=True)
class Database:
    """A database of the shop, and the file of the ledger of its payment gateway."""

    url: str
    ledger: Path

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        if connection.vendor == "postgresql":
            with psycopg.connect(self.url, autocommit=True) as server:
                return server.execute(statement).fetchall()
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)) as file:
            return file.execute(statement).fetchall()

    def columns(self) -> set[tuple[Any, ...]]:
        """Return table, name, type and nullability of each column."""
        return set(self.query(COLUMNS[connection.vendor]))

    def load(self, release: str) -> None:
        """Fill the empty database and the ledger from the dump of a release."""
        load_file(self.ledger, read(release, "ledger.sql"))
        script = read(release, "shop.sql")
        if connection.vendor == "sqlite":
            load_file(Path(self.url.removeprefix("sqlite:///")), script)
            return
        with psycopg.connect(self.url, autocommit=True) as empty:
            empty.execute(script)


def load_file(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.executescript(script)


@contextmanager
def fresh_database(folder: Path, beside: str) -> Iterator[Database]:
    """Create an empty database, in a folder or beside the one with this URL, and drop it in the end."""
    ledger = folder / "ledger.sqlite3"
    if connection.vendor == "sqlite":
        yield Database(f"sqlite:///{folder / 'shop.sqlite3'}", ledger)
        return
    url = f"{beside}_upgrade"
    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.execute(f'CREATE DATABASE "{name}"')
        yield Database(url, ledger)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class ThisRelease:
    """Web server, workers and payment simulator of this release on a database, with short times."""

    def __init__(self, database: Database, folder: Path, **environment: str) -> None:
        self.environment = ENVIRONMENT | {"DATABASE_URL": database.url} | environment
        self.web = WebServer(folder / "web.log")
        options = {"ledger": database.ledger, "callback_url": self.web.webhook_url}
        self.gateway = PaymentSimulator(folder / "gateway.log", environment=self.environment, **options)
        self.environment["PAYMENT_SIMULATOR_URL"] = self.gateway.address
        self.web.environment = self.environment
        self.workers = Cluster(folder / "cluster.log", workers=1, environment=self.environment)

    def manage(self, *arguments: str) -> Finished:
        return run(manage(*arguments), **self.environment)

    def place(self, orders: Mapping[str, object]) -> dict[str, str]:
        """Place these orders, or send the requests again that placed them. Return responses by idempotency key."""
        token = json.loads(self._post("tokens", ADA))["token"]
        return {
            key: self._post("orders", body, **{"Authorization": f"Token {token}", "Idempotency-Key": key}).decode()
            for key, body in orders.items()
        }

    def _post(self, resource: str, body: object, **headers: str) -> bytes:
        address = f"{self.web.address}/api/v1/{resource}/"
        request = Request(address, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
        with urlopen(request) as response:
            return response.read()
