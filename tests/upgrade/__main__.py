"""
Dump a database of this release in the middle of its work into tests/upgrade/data, for the tests of later releases:

    python -m tests.upgrade 0.1.0        # on SQLite, and again with DATABASE_URL for PostgreSQL
"""

import gzip
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from django.db import connection  # noqa: E402  (Django has to be set up before)

from tests.upgrade.releases import Database, ThisRelease, fresh_database, path_of  # noqa: E402
from tests.waiting import eventually  # noqa: E402

SHOP = """
from shop.management.commands.demo import CUSTOMER, add_demo_products, ensure_user, open_demo_stock
ensure_user(CUSTOMER), open_demo_stock(), add_demo_products()
"""
TOKENS = ["tok_visa", "tok_declined", "tok_slow", "tok_pending", "tok_answer_lost_charged", "tok_callback_twice"] * 8
ENDED = "SELECT count(*) FROM orders_order WHERE status IN ('confirmed', 'cancelled')"


def main(release: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with fresh_database(folder, os.environ.get("DATABASE_URL", "")) as database:
            answers = work_and_die(database, folder)
            write(path_of(release, "answers.json"), json.dumps(answers, indent=1))
            write(path_of(release, "shop.sql"), script_of(database))
            write(path_of(release, "ledger.sql"), script_of_file(database.ledger))


def work_and_die(database: Database, folder: Path) -> dict[str, object]:
    """Place orders whose payments end in different ways, and kill everything before all of them have ended."""
    release = ThisRelease(database, folder)
    release.manage("migrate")
    release.manage("shell", "--no-imports", "-c", SHOP)
    line = {"sku": "CANDLES-12", "quantity": 1}
    orders = {
        f"key-{number}": {"lines": [line], "payment_method": token, "expected_total": 699}
        for number, token in enumerate(TOKENS)
    }
    with release.web, release.gateway, release.workers:
        placed = release.place(orders)
        eventually(lambda: database.query(ENDED)[0][0] > len(orders) // 4)
    return {key: {"request": orders[key], "answer": answer} for key, answer in placed.items()}


def script_of(database: Database) -> str:
    """Return the statements that create the database again."""
    if connection.vendor == "sqlite":
        return script_of_file(Path(database.url.removeprefix("sqlite:///")))
    options = ["--no-owner", "--no-privileges", "--no-comments", "--inserts", "--rows-per-insert=100"]
    dump = subprocess.check_output(["pg_dump", *options, database.url], text=True)
    # Without comments, and commands of psql.
    return "\n".join(line for line in dump.splitlines() if line and not line.startswith(("--", "\\")))


def script_of_file(path: Path) -> str:
    with closing(sqlite3.connect(path)) as file:
        return "\n".join(file.iterdump())


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
