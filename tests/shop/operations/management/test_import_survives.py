"""
The import as a process of its own: killed at any moment, with a terminal and with a pipe.
"""

import json
import os
import pty
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from shop.operations.management.commands.import_orders import Command
from tests.processes import Process, manage, run
from tests.shop.operations.management.feeds import SAMPLE, row, write
from tests.waiting import eventually

INVOICES, ORDERS = 100, 94
PATIENCE_SECONDS = 30

# Small batches, for many points at which it can be killed.
IN_SMALL_BATCHES = """
import django; django.setup()
import sys
from django.core.management import call_command
from shop.operations.management.commands import import_orders
import_orders.BATCH_INVOICES = 4
call_command("import_orders", sys.argv[1], "--create-products", "--opening-stock=1000", "--json")
"""

# All results without ids and times.
END_STATE = [
    "SELECT username, count(*) FROM auth_user GROUP BY 1 ORDER BY 1",
    "SELECT sku, name, price FROM orders_product ORDER BY 1",
    "SELECT sku, on_hand, reserved FROM inventory_stockitem ORDER BY 1",
    "SELECT sku, kind, quantity FROM inventory_stockmovement ORDER BY 1, 2, 3",
    "SELECT idempotency_key, status, total FROM orders_order ORDER BY 1",
    """
    SELECT idempotency_key, sku, quantity, unit_price FROM orders_orderline
    JOIN orders_order ON orders_order.id = order_id ORDER BY 1, 2, 3, 4
    """,
    "SELECT type, count(*) FROM messaging_outboxmessage GROUP BY 1 ORDER BY 1",
    "SELECT subscriber, status, count(*) FROM messaging_delivery GROUP BY 1, 2 ORDER BY 1, 2",
]


def environment(database: Path) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": "shop.settings", "DATABASE_URL": f"sqlite:///{database}", "DEBUG": "on"}


def import_in_small_batches(feed: Path) -> list[str]:
    return [sys.executable, "-c", IN_SMALL_BATCHES, str(feed)]


def import_one_invoice(folder: Path, database: Path, *, stderr: int) -> str:
    feed = write(folder / "feed.csv", row())
    command = manage("import_orders", str(feed), "--create-products", "--json")
    return run(command, stderr=stderr, **environment(database)).output


def query(database: Path, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(database, timeout=PATIENCE_SECONDS)) as connection:
        return connection.execute(statement).fetchall()


def orders_in(database: Path) -> int:
    [(orders,)] = query(database, "SELECT count(*) FROM orders_order")
    return orders


def kill_when_it_placed(orders: int, process: Process, database: Path) -> None:
    eventually(lambda: orders_in(database) >= orders, every=0.005)
    time.sleep(random.uniform(0, 0.02))  # anywhere between two commits
    process.kill()


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("import") / "empty.sqlite3"
    assert run(manage("migrate", "--verbosity=0"), **environment(database)).status == 0
    return database


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Path:
    return Path(shutil.copy(empty_database, tmp_path / "shop.sqlite3"))


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """
    The first invoices of the shipped sample.
    """
    lines = SAMPLE.read_text().splitlines()[1:]
    numbers = list(dict.fromkeys(line.split(",")[0] for line in lines))[:INVOICES]
    return write(tmp_path / "feed.csv", *(line for line in lines if line.split(",")[0] in numbers))


class TestKilledImport:
    def test_ends_like_an_uninterrupted_one(self, tmp_path, empty_database, database, feed):
        random.seed(20_101_201)
        uninterrupted = Path(shutil.copy(empty_database, tmp_path / "uninterrupted.sqlite3"))
        expected = run(import_in_small_batches(feed), **environment(uninterrupted)).output
        expected_rejects = Path(f"{feed}.rejects.csv").read_text()

        for placed in (1, random.randint(20, 60)):
            command = import_in_small_batches(feed)
            with Process(tmp_path / "import.log", command, environment=environment(database)) as process:
                kill_when_it_placed(placed, process, database)
            assert process.status == -signal.SIGKILL
        output = run(import_in_small_batches(feed), **environment(database)).output

        outcome, expected = json.loads(output), json.loads(expected)
        assert expected["accepted"] == ORDERS
        assert outcome["accepted"] + outcome["already_imported"] == ORDERS
        assert outcome["accepted"] < ORDERS
        assert (outcome["rejected"], outcome["reasons"]) == (expected["rejected"], expected["reasons"])
        for statement in END_STATE:
            assert query(database, statement) == query(uninterrupted, statement)
        assert Path(f"{feed}.rejects.csv").read_text() == expected_rejects
        assert not Path(f"{feed}.rejects.csv.part").exists()


class TestProgress:
    def test_is_shown_on_a_terminal_but_not_in_a_pipe(self, tmp_path, database):
        terminal, stderr = pty.openpty()

        on_terminal = import_one_invoice(tmp_path, database, stderr=stderr)
        os.close(stderr)
        in_pipe = import_one_invoice(tmp_path, database, stderr=subprocess.STDOUT)

        assert b"Importing" in os.read(terminal, 10_000)
        assert json.loads(on_terminal)["accepted"] == 1
        assert json.loads(in_pipe)["already_imported"] == 1


class TestExitStatus:
    @pytest.mark.parametrize(("option", "status"), [([], 1), (["--opening-stock=-1"], 2)])
    def test_is_1_for_an_unusable_feed_and_2_for_a_wrong_option(self, option, status):
        with pytest.raises(SystemExit) as ended:
            Command().run_from_argv(["manage.py", "import_orders", "missing.csv", *option])

        assert ended.value.code == status
