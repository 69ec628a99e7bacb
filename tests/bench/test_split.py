import json
import sys

import pytest

from tests.bench.environment import empty_database
from tests.processes import run

OPTIONS = ["--split", "--over", "redis", "--on", "SQLite", "--quick", "--orders", "20"]


def test_a_database_that_is_emptied_leaves_nothing_of_the_one_before(tmp_path):
    for name in ("shop.sqlite3", "shop.sqlite3-wal", "other.sqlite3"):
        (tmp_path / name).touch()

    empty_database(f"sqlite:///{tmp_path}/shop.sqlite3")

    assert [file.name for file in tmp_path.iterdir()] == ["other.sqlite3"]


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
