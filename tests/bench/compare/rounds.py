"""
The comparison of `make bench BENCH=--compare`: each pipeline in turn, in some rounds, each time over a new copy of the
same PostgreSQL database; then each of them once more while its workers are killed.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from tests.bench.environment import copy_database, drop_database, empty_database, environment
from tests.processes import run

from .names import CELERY, EARLY_CELERY, HANDLERS, LIBRARIES, ONE_BY_ONE, SHOP, WORKERS

IN_ROUNDS = (SHOP, CELERY, HANDLERS, ONE_BY_ONE)
WHILE_KILLED = (SHOP, CELERY, EARLY_CELERY, ONE_BY_ONE)
RUN_SECONDS = 1800

Report = Mapping[str, Any]


def compare(url: str, *, orders: int, rounds: int, seed: int) -> Report:
    """
    Run the comparison, and return its report.

    :param url: a PostgreSQL database, beside which two others are made and dropped.
    :param orders: of each run.
    :param seed: of the moments at which workers are killed.
    """
    if not LIBRARIES.exists():
        sys.exit("`make bench BENCH=--compare` installs what the comparison needs.")
    sys.stderr.write(f"The kills have the seed {seed}.\n")
    began = {"at": f"{datetime.now(UTC):%Y-%m-%d}", "load": os.getloadavg()[0]}
    template = f"{url}_bench_template"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            plan = {"callers": _open(template, Path(scratch)), "orders": orders, "seed": seed}
        throughput = _throughput(template, plan, rounds)
        kills = {name: _measure(template, plan | {"pipeline": name, "part": "kills"}) for name in WHILE_KILLED}
    finally:
        drop_database(template)
    settings = {"orders": orders, "rounds": rounds, "seed": seed, "workers": WORKERS}
    return began | settings | {"versions": _versions(url), "throughput": throughput, "kills": kills}


def medians(report: Report) -> dict[str, dict[str, float]]:
    """Return the median of each figure over the rounds, by pipeline."""
    return {
        name: {figure: median(each.get(figure, 0) for each in figures) for figure in figures[0]}
        for name, figures in report["throughput"].items()
    }


def ratios(report: Report, name: str, to: str = SHOP) -> list[float]:
    """Return the share of complete orders a second of a pipeline in another's, in each round."""
    rates = {
        pipeline: [each["orders/s complete"] for each in report["throughput"][pipeline]] for pipeline in (name, to)
    }
    return [rate / other for rate, other in zip(rates[name], rates[to], strict=True)]


def _throughput(template: str, plan: Mapping[str, Any], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Measure the pipelines in turn, and begin each round with another one."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in IN_ROUNDS}
    for name in _in_turn(rounds):
        figures[name].append(_measure(template, plan | {"pipeline": name, "part": "throughput"}))
    return figures


def _in_turn(rounds: int) -> Iterator[str]:
    for number in range(rounds):
        first = number % len(IN_ROUNDS)
        yield from IN_ROUNDS[first:] + IN_ROUNDS[:first]


def _open(template: str, folder: Path) -> list[list[str]]:
    """Fill an empty database with products, stock and customers, all of whose events are delivered."""
    empty_database(template)
    opened = _run(["-m", "tests.bench.opening"], environment(folder, template))
    _run(["manage.py", "drain"], environment(folder, template))
    return json.loads(opened)


def _measure(template: str, plan: Mapping[str, Any]) -> dict[str, float]:
    """Measure a pipeline in a process of its own, over a database of its own."""
    database = template.removesuffix("_template")
    copy_database(template, database)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _run(["-m", "tests.bench.compare.measure"], environment(Path(scratch), database), json.dumps(plan))
            figures = json.loads(Path(scratch, "figures").read_text())
        finally:
            drop_database(database)
    told = figures.get("orders/s complete") or figures["orders completed"]
    sys.stderr.write(f"{plan['part']}, {plan['pipeline']}: {told:.1f}\n")
    return figures


def _run(arguments: list[str], variables: Mapping[str, str], text: str = "") -> str:
    finished = run([sys.executable, *arguments], text=text, within=RUN_SECONDS, **variables)
    if finished.status:
        sys.exit(finished.output + finished.errors)
    return finished.output


def _versions(url: str) -> dict[str, str]:
    installed = {each.name: each.version for each in distributions(path=[str(LIBRARIES)])}
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    with psycopg.connect(url) as server:
        postgres = server.info.parameter_status("server_version") or ""
    return {
        "processor": _processor(),
        "Python": platform.python_version(),
        "PostgreSQL": postgres.split()[0],
        "Redis": re.findall(r"v=(\S+)", redis)[0],
        "Celery": installed["celery"],
        "Kombu": installed["kombu"],
    }


def _processor() -> str:
    names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{os.cpu_count()} cores of {names[0]}" if names else f"{os.cpu_count()} cores"
