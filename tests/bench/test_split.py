import json
import sys

import pytest

from tests.bench.environment import empty_database, environment
from tests.processes import manage, run

OPTIONS = ["--split", "--over", "redis", "--on", "SQLite", "--quick", "--orders", "20"]


def test_a_database_that_is_emptied_leaves_nothing_of_the_one_before(tmp_path):
    for name in ("shop.sqlite3", "shop.sqlite3-wal", "other.sqlite3"):
        (tmp_path / name).touch()

    empty_database(f"sqlite:///{tmp_path}/shop.sqlite3")

    assert [file.name for file in tmp_path.iterdir()] == ["other.sqlite3"]


def test_a_service_without_the_orders_starts_with_the_settings_of_the_bench(tmp_path):
    service = {"CONTEXTS": "inventory", "TRANSPORT_URL": "redis://127.0.0.1", "ACCOUNTS_URL": "http://127.0.0.1:1"}
    variables = environment(tmp_path, "sqlite://:memory:") | service | {"INTROSPECTION_SECRET": "-" * 32}

    checked = run(manage("check"), **variables)

    assert checked.status == 0, checked.errors


@pytest.mark.split
def test_a_run_measures_services_beside_one_program(tmp_path):
    out = tmp_path / "bench.json"

    finished = run([sys.executable, "-m", "tests.bench", *OPTIONS, f"--out={out}"], within=900)

    assert finished.status == 0, finished.errors
    figures = json.loads(out.read_text())["databases"]["SQLite"]
    assert list(figures) == [
        "shop as one program, 2 web processes, 2 workers",
        "shop as 4 services over Redis, 4 web processes, 4 workers",
        "event to its handler in another service over Redis, 20 orders/s",
        "restart of Redis",
        "one receiver, Redis",
    ]
    one_program, split, _, restart, receiver = figures.values()
    share = 100 * split["orders/s complete"] / one_program["orders/s complete"]
    assert split["% of one program"] == share
    assert 0 < restart["s until the first is handled"] <= restart["s until the last is handled"]
    assert receiver["events"] == 2_000
