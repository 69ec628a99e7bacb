"""
docs/how-to/backup.md: the database is copied while workers handle orders, which go on, and then the machine is lost. A
shop on the copy does again what the copy has not seen, beside the same payment gateway.
"""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from orders.models import Order
from orders.placing import place_orders
from shop.settings.groups import SIMULATED_GATEWAY
from tests.concurrency.environment import ENVIRONMENT
from tests.concurrency.ledger import SimulatorLedger
from tests.factories import CustomerFactory, make_draft, make_stock
from tests.processes import Finished, database_url, manage, run
from tests.programs import Cluster, PaymentSimulator, WebServer
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = 12
UNFINISHED = "SELECT id FROM messaging_delivery WHERE status = 'pending' AND NOT delayed"


class Shop:
    """Web server and workers on a database, with a gateway that outlives them."""

    def __init__(self, folder: Path) -> None:
        self.web = WebServer(folder / "web.log")
        self.ledger = SimulatorLedger(folder / "ledger.sqlite3")
        options = {"ledger": self.ledger.path, "callback_url": self.web.webhook_url, "delay": 0.1}
        self.gateway = PaymentSimulator(folder / "gateway.log", environment=ENVIRONMENT, **options)
        self.log = folder / "workers.log"
        self.environment: dict[str, str] = {}

    @contextmanager
    def running_on(self, url: str) -> Iterator[None]:
        """Run on this database during the block, then be killed."""
        self.environment = ENVIRONMENT | {
            "DATABASE_URL": url,
            "PAYMENT_GATEWAY": SIMULATED_GATEWAY,
            "PAYMENT_SIMULATOR_URL": self.gateway.address,
            "PAYMENT_SIMULATOR_IN_WEB": "off",
        }
        self.web.environment = self.environment
        self.log.unlink(missing_ok=True)
        with self.web, Cluster(self.log, workers=1, environment=self.environment):
            yield

    def manage(self, *arguments: str) -> Finished:
        return run(manage(*arguments), **self.environment)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    if connection.vendor == "postgresql":
        with psycopg.connect(url, autocommit=True) as server:
            return server.execute(statement).fetchall()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)) as file:
        return file.execute(statement).fetchall()


def statuses(url: str) -> dict[str, int]:
    return dict(query(url, "SELECT status, count(*) FROM orders_order GROUP BY 1"))


def is_quiet(url: str) -> bool:
    """Return whether every order is confirmed, and nothing is to be delivered but what was published for later."""
    return statuses(url) == {Order.Status.CONFIRMED: ORDERS} and query(url, UNFINISHED) == []


@contextmanager
def restored(backup: Path) -> Iterator[str]:
    """Yield the URL of a new database with the backup in it."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{backup}"
        return
    url = f"{database_url()}_restored"
    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.execute(f'CREATE DATABASE "{name}"')
        subprocess.run([postgres("pg_restore"), "--no-owner", "--dbname", url, backup], check=True)
        yield url
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def back_up(target: Path) -> None:
    if connection.vendor == "postgresql":
        subprocess.run([postgres("pg_dump"), "--format=custom", "--file", target, database_url()], check=True)
        return
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=20)) as file:
        file.execute("VACUUM INTO ?", [str(target)])


def postgres(program: str) -> str:
    """Return the path of a program of the newest PostgreSQL here."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    return str(installed[-1]) if installed else str(shutil.which(program))


def test_a_backup_amid_traffic_goes_on_and_charges_no_one_twice(tmp_path):
    make_stock(100)
    ada, shop, backup = CustomerFactory().pk, Shop(tmp_path), tmp_path / "backup"
    drafts = [make_draft(customer_id=ada, idempotency_key=f"order-{number}") for number in range(ORDERS)]

    with shop.gateway:
        with shop.running_on(database_url()):
            for draft in drafts:
                place_orders([draft], now=timezone.now())
            eventually(lambda: statuses(database_url()).get(Order.Status.CONFIRMED))
            back_up(backup)
            eventually(lambda: is_quiet(database_url()))
        charged = {order: captures[0].charge for order, captures in shop.ledger.captures().items()}
        with restored(backup) as url:
            at_backup = statuses(url)
            with shop.running_on(url):
                eventually(lambda: is_quiet(url))
                shop.manage("reconcile_payments")
                eventually(lambda: is_quiet(url) and shop.ledger.is_idle())
                audited = shop.manage("audit", "--json")

    captures = shop.ledger.captures()
    assert len(charged) == len(captures) == ORDERS
    assert at_backup.get(Order.Status.CONFIRMED, 0) < ORDERS
    assert {sum(capture.kept for capture in of_order) for of_order in captures.values()} == {4_500}
    assert audited.status == 0, json.loads(audited.output)
