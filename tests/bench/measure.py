"""All figures of one database, measured while its tables grow."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import django

from tests.processes import run
from tests.programs import MailServer

django.setup()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from orders.models import Order  # noqa: E402
from shop.settings.groups import CONTEXTS  # noqa: E402
from tests.processes import manage  # noqa: E402
from tests.shop.operations.services import divided  # noqa: E402

from . import desk_pages, figures, shop  # noqa: E402
from .generated import generate, sizes  # noqa: E402
from .handlers import FOLDER  # noqa: E402
from .http_requests import Caller  # noqa: E402
from .mail import mails_of_orders  # noqa: E402
from .products import open_shop  # noqa: E402
from .profiling import profiled  # noqa: E402
from .programs import cluster, web_server, whole_shop  # noqa: E402
from .services import operator_variables  # noqa: E402
from .takeover import takeover  # noqa: E402
from .usage import memory, run_to_its_end  # noqa: E402
from .web import make_callers, place_over_http  # noqa: E402
from .work import wait_until_delivered  # noqa: E402

Figures = Iterator[tuple[str, dict[str, float]]]

STEADY_PER_SECOND, STEADY_SECONDS = 50, 15
SPLIT_SECONDS = 3600
COMPLETE = "orders/s complete"
WORKERS = (1, 2, 4)
SCALES = [
    *((2, workers, [8]) for workers in WORKERS if workers != 2),
    *((web_processes, 2, [8]) for web_processes in (1, 4)),
    (2, 2, [1, 2, 4, 8, 16, 32, 64]),
]
"""Web processes, workers, and connections of the load generator."""


def main() -> None:
    """Read the options of `tests.bench` from the input, and write the figures to the bench's folder."""
    options = json.load(sys.stdin)
    call_command("migrate", verbosity=0)
    if not Order.objects.exists():  # in a kept database
        open_shop()
    measure = {
        "shop": lambda: _of_the_whole_shop(options["latencies"], options["orders"]),
        "profile": lambda: _profiles(options["latencies"], options["orders"]),
        "scale": lambda: _of_the_scale(options["orders"]),
        "audit": lambda: _of_the_audit(options["sizes"][1]),
        "split": lambda: _of_the_split(options, options["orders"]),
        "desk": lambda: _of_the_desk(options["desk_orders"]),
        "memory": lambda: _of_the_memory(options["sizes"][-1] * 2),
        "http": _over_http,
        "workers": lambda: _of_the_workers(options["log"], options["sizes"]),
        "mail": lambda: _of_the_mails(options["orders"]),
        "takeover": _from_a_killed_worker,
    }
    measured = {name: figure for part in options["parts"] for name, figure in measure[part]()}
    (FOLDER / "figures").write_text(json.dumps(measured))


def _of_the_whole_shop(latencies: Sequence[float], orders: int) -> Figures:
    callers = make_callers(20, signing=False)
    for latency in latencies:
        name = f"shop, gateway {latency * 1000:.0f} ms"
        with whole_shop(FOLDER, latency=latency) as running:
            shop.place_to_mail(running, callers, orders=min(200, orders), connections=8)
            yield f"{name}, 8 connections", shop.place_to_mail(running, callers, orders=orders, connections=8)
            yield (
                f"{name}, steady {STEADY_PER_SECOND} orders/s",
                shop.place_to_mail(
                    running,
                    callers,
                    orders=min(orders, STEADY_PER_SECOND * STEADY_SECONDS),
                    connections=32,
                    per_second=STEADY_PER_SECOND,
                ),
            )
            yield name, memory(running.roots)


def _profiles(latencies: Sequence[float], orders: int) -> Figures:
    callers = make_callers(20, signing=False)
    for latency in latencies:
        with whole_shop(FOLDER, latency=latency) as running:
            shop.place_to_mail(running, callers, orders=min(200, orders), connections=8)
            with profiled(running.roots, FOLDER) as profiles:
                figures = shop.place_to_mail(running, callers, orders=orders, connections=8)
        for part, profile in profiles.items():
            system = figures[f"of which in system calls: {part}"]
            for name, table in profile.tables(user=figures[f"CPU ms per order: {part}"] - system, system=system):
                yield f"CPU ms per order, gateway {latency * 1000:.0f} ms, {part}, {name}", table


def _of_the_scale(orders: int) -> Figures:
    callers = make_callers(20, signing=False)
    for web_processes, workers, connections in SCALES:
        with whole_shop(FOLDER, latency=0, workers=workers, web_processes=web_processes) as running:
            shop.place_to_mail(running, callers, orders=min(200, orders), connections=8)
            for number in connections:
                name = f"{web_processes} web processes, {workers} workers, {number} connections"
                yield name, shop.place_to_mail(running, callers, orders=orders, connections=number)
    for workers in WORKERS:
        with cluster(FOLDER, workers):
            _warm_up()
            yield f"{workers} workers alone", figures.throughput()


def _of_the_memory(orders: int) -> Figures:
    callers = make_callers(20, signing=False)
    with web_server(FOLDER) as web, cluster(FOLDER, 2) as workers:
        roots = {"web": web.pid, "worker": workers.pid}
        for name, placed, over_http in [("first", 200, 200), (f"{orders:,}", orders, 3_000)]:
            figures.place(placed)
            place_over_http(web.port, callers, orders=over_http, connections=8)
            wait_until_delivered()
            yield f"memory after {name} orders, and {over_http:,} over HTTP", memory(roots)


def _of_the_audit(orders: int) -> Figures:
    with cluster(FOLDER, 2):
        figures.grow(orders)
    yield f"audit of {orders:,} orders, one database", run_to_its_end(manage("audit"))
    with divided(FOLDER, *((context,) for context in CONTEXTS)) as services:
        yield (
            f"audit of {orders:,} orders, four databases",
            run_to_its_end(manage("audit"), **services.environment),
        )


def _of_the_desk(orders: int) -> Figures:
    yield "generated database", sizes() if Order.objects.exists() else generate(orders, now=timezone.now())
    yield from desk_pages.figures_of(desk_pages.visit_all(desk_pages.every_page()))


def _of_the_split(options: Mapping[str, Any], orders: int) -> Figures:
    callers = make_callers(20, signing=False)
    with whole_shop(FOLDER, latency=0) as running:
        shop.place_to_mail(running, callers, orders=min(200, orders), connections=8)
        one_program = shop.place_to_mail(running, callers, orders=orders, connections=8)
    yield "shop as one program, 2 web processes, 2 workers", one_program
    for transport in options["transports"]:
        for name, split in _over(transport, options).items():
            complete = split.get(COMPLETE, 0)
            yield name, split | ({"% of one program": 100 * complete / one_program[COMPLETE]} if complete else {})


def _over(transport: str, options: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Measure the services over one broker, in a process that reads all their databases."""
    folder = FOLDER / transport
    folder.mkdir()
    text = json.dumps({**options, "folder": str(folder), "transport": transport})
    variables = operator_variables() | {"BENCH_FOLDER": str(folder)}
    measure = [sys.executable, "-m", "tests.bench.split"]
    finished = run(measure, text=text, within=SPLIT_SECONDS, **variables)
    assert finished.status == 0, finished.output + finished.errors
    return json.loads((folder / "figures").read_text())


def _over_http() -> Figures:
    with web_server(FOLDER) as web:
        for name, callers in {
            "token": make_callers(20, signing=False),
            "token and signature": make_callers(20, signing=True),
        }.items():
            place_over_http(web.port, callers, orders=200, connections=8)
            closed_loop = place_over_http(web.port, callers, orders=3_000, connections=8).figures
            yield f"POST /orders/, {name}, 8 connections", closed_loop
            half = closed_loop["orders/s"] / 2
            yield (
                f"POST /orders/, {name}, at half that rate",
                place_over_http(web.port, callers, orders=int(half * 12), connections=16, per_second=half).figures,
            )


def _of_the_workers(log: str, sizes: Sequence[int]) -> Figures:
    with cluster(FOLDER, 2) as processes:
        _warm_up()
        for size in sizes:
            figures.grow(size)
            for name, figure in _at_this_size(processes.pids("worker")):
                yield f"{name}, {size:,} orders", figure
        yield "real order log, 2 workers", figures.order_log(Path(log))
    with cluster(FOLDER, 1):
        _warm_up()
        yield "1 worker, most orders", figures.throughput()


def _from_a_killed_worker() -> Figures:
    with cluster(FOLDER, 2) as processes:
        _warm_up()
        yield "kill -9 of one of 2 workers, 2,000 orders", takeover(processes.pids("worker"))


def _of_the_mails(orders: int) -> Figures:
    server = MailServer(FOLDER / "mail_server.log", FOLDER / "mails.log")
    with server, cluster(FOLDER, 2, **server.settings) as processes:
        _warm_up()
        roots = {"workers": processes.pid, "mail server": server.pid}
        yield "mails of orders placed in sets", mails_of_orders(server.mails, roots, figures.place, orders=orders)
    callers = make_callers(20, signing=False)
    with server, whole_shop(FOLDER, latency=0, environment=dict(os.environ) | server.settings) as running:
        place = partial(_place_over_http, running.port, callers)
        place(200)
        wait_until_delivered()
        roots = {**running.roots, "mail server": server.pid}
        yield "mails of orders over HTTP", mails_of_orders(server.mails, roots, place, orders=orders)


def _place_over_http(port: int, callers: Sequence[Caller], orders: int) -> None:
    place_over_http(port, callers, orders=orders, connections=8)


def _warm_up() -> None:
    figures.place(200)
    wait_until_delivered()


def _at_this_size(workers: list[int]) -> Figures:
    yield "2 workers", figures.throughput()
    yield "commit to handler", figures.commit_to_handler()
    yield "place to confirmed", figures.place_to_confirmed()
    yield "idle worker", figures.idle_cpu(workers)


if __name__ == "__main__":
    main()
