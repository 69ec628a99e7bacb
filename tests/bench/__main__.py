"""
Measure this shop: `make bench`, or `python -m tests.bench` with one or more parts, such as `--shop`.

Measures on SQLite, and on PostgreSQL if DATABASE_URL names one, in databases of its own. Prints a table and writes
bench.json. Ends with an error if the shop did other work than was asked. Figures depend on the machine and its load:
compare those of one run only.
"""

import argparse
import json
import os
import platform
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.processes import run

from .compare import page
from .compare.rounds import compare
from .environment import drop_database, environment, fresh_database, kept_database

SAMPLE = Path("shop/samples/online_retail_sample.csv")
RUN_SECONDS = 4 * 3600
PARTS = {
    "shop": "orders over HTTP until their mails, by `manage.py up` and a payment simulator",
    "http": "orders over HTTP, by the web server alone",
    "workers": "orders placed in sets, delivered by workers alone",
    "mail": "mails to an SMTP server on this machine, beside the orders that cause them",
    "takeover": "the takeover from a killed worker",
}
ON_REQUEST = {
    "profile": "where CPU time goes in --shop",
    "scale": "--shop with 1 to 4 web processes and workers and 1 to 64 connections, and 1 to 4 workers alone",
    "audit": "the audit of 10,000 orders (2,000 with --quick), in one database and in those of four services",
    "split": "--shop as one program beside four services over each broker, and the events between them",
    "memory": "processes after 100,000 orders (4,000 with --quick), most of them placed in sets",
}
ALONE = {
    "desk": "every page of the operator's desk over a generated database of 1,000,000 orders (20,000 with --quick)",
    "compare": "--shop beside the same work by Celery over Redis, and by a relay of one message a transaction; what"
    " each of them loses when workers are killed",
}
"""On PostgreSQL, without other parts."""
ORDERS, FEW_ORDERS = 1_500, 200
DATABASES = ("SQLite", "PostgreSQL")
TRANSPORTS = ("redis", "amqp", "kafka")


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    if alone := ALONE.keys() & (options.parts or ()):
        options.on = ["PostgreSQL"]
        if len(options.parts) > 1:
            parser.error(f"--{alone.pop()} is measured alone.")
    postgres = os.environ.get("DATABASE_URL", "")
    urls = {"SQLite": ""} | ({"PostgreSQL": postgres} if postgres.startswith("postgres") else {})
    if not urls.keys() & options.on:
        parser.error("DATABASE_URL names no PostgreSQL database.")
    if options.parts == ["compare"]:
        _compare(postgres, options)
        return
    databases = {name: _measure(url, options) for name, url in urls.items() if name in options.on}
    report = {"python": platform.python_version(), "cores": os.cpu_count(), "databases": databases}
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    (_print_pages if "desk" in (options.parts or ()) else _print)(report)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part, words in (PARTS | ON_REQUEST | ALONE).items():
        parser.add_argument(f"--{part}", action="append_const", dest="parts", const=part, help=f"measure {words}")
    add = parser.add_argument
    add("--quick", action="store_true", help="grow to 2,000 orders instead of 50,000, receive 2,000 events of 20,000")
    add(
        "--orders",
        type=int,
        help=f"orders of a run of --shop, --mail, --profile, --scale, --split ({ORDERS}) and --compare ({FEW_ORDERS})",
    )
    add("--latency", type=float, nargs="+", default=[0, 0.3], help="seconds of the gateway's answers in --shop (0 0.3)")
    add("--rounds", type=int, default=3, help="rounds of --compare (%(default)s)")
    add("--seed", type=int, default=random.randrange(10**6), help="of the moments of kills in --compare (random)")
    add("--publish", action="store_true", help="write the figures and graphs of --compare into docs/explanation")
    add("--over", nargs="+", choices=TRANSPORTS, default=TRANSPORTS, help="the brokers of --split (all; Kafka's mock)")
    add("--rate", type=float, default=4, help="orders/s while --split measures commit to handler (%(default)s)")
    add("--on", nargs="+", choices=DATABASES, default=DATABASES, help="measure only on this database")
    add("--keep", action="store_true", help="keep the database of --desk, which is dropped at the end otherwise")
    add("--kept", action="store_true", help="measure the database that --desk --keep has left, after migrations")
    add("--log", type=Path, default=SAMPLE, help="the order log to import (the shipped sample)")
    add("--out", type=Path, default=Path("bench.json"))
    return parser


def _compare(url: str, options: argparse.Namespace) -> None:
    """Compare pipelines, and write the report, and graphs beside it."""
    report = compare(url, orders=options.orders or FEW_ORDERS, rounds=options.rounds, seed=options.seed)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    page.write_graphs(report, options.out.parent)
    if options.publish:
        page.publish(report)
    for rows in (page.throughput_rows(report), page.kill_rows(report)):
        table = Table(*rows[0], title=f"{report['orders']} orders, seed {report['seed']}")
        for row in rows[1:]:
            table.add_row(*row)
        Console().print(table)


def _measure(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a process of its own, since Django knows one database for life."""
    todo = {
        "parts": options.parts or list(PARTS),
        "latencies": options.latency,
        "orders": options.orders or ORDERS,
        "transports": options.over,
        "rate": options.rate,
        "events": 2_000 if options.quick else 20_000,
        "log": str(options.log.resolve()),
        "desk_orders": 20_000 if options.quick else 1_000_000,
        "sizes": [1_000, 2_000] if options.quick else [1_000, 10_000, 50_000],
    }
    with tempfile.TemporaryDirectory() as scratch:
        database = kept_database(url) if options.kept else fresh_database(url, Path(scratch))
        variables = environment(Path(scratch), database)
        measure = [sys.executable, "-m", "tests.bench.measure"]
        finished = run(measure, text=json.dumps(todo), within=RUN_SECONDS, **variables)
        if "desk" in todo["parts"] and not (options.keep or options.kept):
            drop_database(database)
        if finished.status:
            sys.exit(finished.output + finished.errors)
        return json.loads(Path(f"{scratch}/figures").read_text())


def _print(report: dict[str, Any]) -> None:
    table = Table("figure", *report["databases"], title=f"Python {report['python']}, {report['cores']} cores")
    columns = list(report["databases"].values())
    for name in dict.fromkeys(name for figures in columns for name in figures):
        table.add_section()
        table.add_row(f"[bold]{name}")
        for unit in dict.fromkeys(unit for figures in columns for unit in figures.get(name, {})):
            values = [figures.get(name, {}).get(unit) for figures in columns]
            table.add_row(f"  {unit}", *("–" if value is None else f"{value:,.2f}" for value in values))
    Console().print(table)


def _print_pages(report: dict[str, Any]) -> None:
    """Print the figures of the desk as tables of Markdown, one row a kind of page."""
    figures = report["databases"]["PostgreSQL"]
    lines, previous = [], []
    for name, numbers in figures.items():
        if list(numbers) != previous:
            previous = list(numbers)
            lines += ["", f"| | {' | '.join(previous)} |", f"|{'---|' * (len(previous) + 1)}"]
        lines.append(f"| {name} | {' | '.join(f'{number:,.0f}' for number in numbers.values())} |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
