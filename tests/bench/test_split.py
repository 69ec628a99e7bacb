import json
import sys

import pytest

from tests.bench.environment import empty_database, environment
from tests.bench.stages import commit_to_handler
from tests.processes import manage, run

OPTIONS = ["--split", "--over", "redis", "--on", "SQLite", "--quick", "--orders", "20", "--rate", "5"]


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


def test_the_way_of_an_event_is_divided_into_stages(tmp_path):
    lines = ["committed a 10.000", "claimed a 10.003", "confirmed a 10.005", "received a 10.004", "stored a 10.006"]
    lines += ["handled a 10.010", "done a 10.015", "handled a 10.900", "committed b 11.000"]
    other = [line.replace(" a 10.", " c 20.") for line in lines[:7]]
    (tmp_path / "stages").write_text("".join(f"{line}\n" for line in lines + other))

    figures = commit_to_handler(tmp_path, ["a", "c"])

    assert {name: round(figure, 3) for name, figure in figures.items()} == {
        "p50 ms": 10,
        "p99 ms": 10,
        "from the commit until the relay has claimed it, p50 ms": 3,
        "until the other service has received it, p50 ms": 1,
        "until it is stored there, and others can read it, p50 ms": 2,
        "until the relay there calls the handler, p50 ms": 4,
        "until the handler's commit, p50 ms": 5,
        "from the claim until the broker has confirmed it, p50 ms": 2,
    }


@pytest.mark.split
def test_a_run_measures_services_beside_one_program(tmp_path):
    out = tmp_path / "bench.json"

    finished = run([sys.executable, "-m", "tests.bench", *OPTIONS, f"--out={out}"], within=900)

    assert finished.status == 0, finished.errors
    figures = json.loads(out.read_text())["databases"]["SQLite"]
    assert list(figures) == [
        "shop as one program, 2 web processes, 2 workers",
        "shop as 4 services over Redis, 4 web processes, 4 workers",
        "commit to its handler in another service over Redis, 5 orders/s",
        "restart of Redis",
        "one receiver, Redis",
    ]
    one_program, split, latency, restart, receiver = figures.values()
    share = 100 * split["orders/s complete"] / one_program["orders/s complete"]
    assert split["% of one program"] == share
    assert 0 < latency["until it is stored there, and others can read it, p50 ms"] < latency["p50 ms"]
    assert 0 < restart["s until the first is handled"] <= restart["s until the last is handled"]
    assert receiver["events"] == 2_000
