"""
All figures of one database, in the order in which its tables grow.
"""

import json
import sys
from pathlib import Path

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from . import figures  # noqa: E402
from .cluster import cluster  # noqa: E402


def main(log: str, out: str, *sizes: str) -> None:
    call_command("migrate", verbosity=0)
    figures.open_shop()
    found = {}
    with cluster(2) as workers:
        _warm_up()
        for size in map(int, sizes):
            figures.grow(size)
            found |= {f"{name}, {size:,} orders": figure for name, figure in _at_this_size(workers)}
        found["real order log, 2 workers"] = figures.order_log(Path(log))
    with cluster(1):
        _warm_up()
        found["1 worker, most orders"] = figures.throughput()
    Path(out).write_text(json.dumps(found))


def _warm_up() -> None:
    figures.place(200)
    figures.await_quiet()


def _at_this_size(workers: list[int]):
    yield "2 workers", figures.throughput()
    yield "commit to handler", figures.commit_to_handler()
    yield "place to confirmed", figures.place_to_confirmed()
    yield "idle worker", figures.idle_cpu(workers)


if __name__ == "__main__":
    main(*sys.argv[1:])
