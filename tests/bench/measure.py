"""All figures of one database, measured while its tables grow."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from . import figures  # noqa: E402
from .gateway import charges  # noqa: E402
from .programs import FOLDER, cluster, slow_gateway, web_server  # noqa: E402
from .web import make_callers, place_over_http  # noqa: E402


def main(log: str, parts: str, *sizes: str) -> None:
    """Measure these parts, separated by commas, and the workers at these numbers of orders."""
    call_command("migrate", verbosity=0)
    figures.open_shop()
    measure = {
        "http": lambda: dict(_over_http()),
        "gateway": lambda: dict(_at_a_slow_gateway()),
        "workers": lambda: _of_the_workers(log, sizes),
    }
    measured = {}
    for part in parts.split(","):
        measured |= measure[part]()
    (FOLDER / "figures").write_text(json.dumps(measured))


def _over_http():
    with web_server() as web:
        for name, callers in {
            "token": make_callers(20, signing=False),
            "token and signature": make_callers(20, signing=True),
        }.items():
            place_over_http(web.port, callers, orders=200, connections=8)
            closed_loop = place_over_http(web.port, callers, orders=3_000, connections=8)
            yield f"POST /orders/, {name}, 8 connections", closed_loop
            half = closed_loop["orders/s"] / 2
            yield (
                f"POST /orders/, {name}, at half that rate",
                place_over_http(web.port, callers, orders=int(half * 12), connections=16, per_second=half),
            )


def _at_a_slow_gateway():
    web = web_server()
    simulator = slow_gateway(web)
    with web, simulator, cluster(2, **simulator.environment):
        _warm_up()
        yield "2 workers, gateway that takes 300 ms and calls back", charges()


def _of_the_workers(log: str, sizes: Sequence[str]):
    measured = {}
    with cluster(2) as processes:
        _warm_up()
        for size in map(int, sizes):
            figures.grow(size)
            measured |= {f"{name}, {size:,} orders": figure for name, figure in _at_this_size(processes.pids("worker"))}
        measured["real order log, 2 workers"] = figures.order_log(Path(log))
    with cluster(1):
        _warm_up()
        measured["1 worker, most orders"] = figures.throughput()
    return measured


def _warm_up() -> None:
    figures.place(200)
    figures.wait_until_delivered()


def _at_this_size(workers: list[int]):
    yield "2 workers", figures.throughput()
    yield "commit to handler", figures.commit_to_handler()
    yield "place to confirmed", figures.place_to_confirmed()
    yield "idle worker", figures.idle_cpu(workers)


if __name__ == "__main__":
    main(*sys.argv[1:])
