"""
Measure this shop: `make bench`, or `python -m tests.bench [--quick | --http | --gateway]`.

Measures on SQLite, and on PostgreSQL if DATABASE_URL names one, in databases of its own. Prints a table and writes
bench.json. Figures depend on the machine and its load: compare those of one run only.
"""

import argparse
import json
import os
import platform
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.processes import run

from .database import fresh_database

SAMPLE = Path("shop/samples/online_retail_sample.csv")
RUN_SECONDS = 4 * 3600


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="grow to 2,000 orders instead of 50,000")
    arguments.add_argument("--http", action="store_true", help="measure only orders placed over HTTP")
    arguments.add_argument("--gateway", action="store_true", help="measure only payments at a slow gateway")
    arguments.add_argument("--log", type=Path, default=SAMPLE, help="the order log to import (the shipped sample)")
    arguments.add_argument("--out", type=Path, default=Path("bench.json"))
    options = arguments.parse_args()
    postgres = os.environ.get("DATABASE_URL", "")
    urls = ["", postgres] if postgres.startswith("postgres") else [""]
    report = {"python": platform.python_version(), "cores": os.cpu_count(), "databases": {}}
    for url in urls:
        report["databases"]["PostgreSQL" if url else "SQLite"] = _measure(url, options)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    _print(report)


def _measure(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a process of its own, since Django knows one database for life."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            "DATABASE_URL": fresh_database(url, Path(scratch)),
            "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
            "BENCH_FOLDER": scratch,
            "SECRET_KEY": secrets.token_urlsafe(64),
            "DEBUG": "0",
            "ALLOWED_HOSTS": "shop.example,127.0.0.1",
            "RELAY_IN_WEB": "0",
            "PAYMENT_GATEWAY": "payments.gateway.adapters.instant.InstantGateway",
            "PAYMENT_WEBHOOK_SECRETS": f"whsec_{secrets.token_hex(32)}",
            "LOG_LEVEL": "ERROR",
            # Limits are not measured.
            "ORDER_MAX_OPEN_ORDERS": "1000000000",
            "THROTTLE_ACCOUNT_PER_MINUTE": "0",
            "THROTTLE_ADDRESS_PER_MINUTE": "0",
        }
        parts = ["http"] if options.http else ["gateway"] if options.gateway else ["http", "gateway", "workers"]
        sizes = ["1000", "2000"] if options.quick else ["1000", "10000", "50000"]
        measure = [sys.executable, "-m", "tests.bench.measure", str(options.log.resolve()), ",".join(parts), *sizes]
        finished = run(measure, within=RUN_SECONDS, **environment)
        if finished.status:
            sys.exit(finished.output + finished.errors)
        return json.loads(Path(f"{scratch}/figures").read_text())


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", *report["databases"], title=f"Python {report['python']}, {report['cores']} cores")
    figures = list(report["databases"].values())
    for name in figures[0]:
        for unit in figures[0][name]:
            table.add_row(f"{name}: {unit}", *(f"{measured[name][unit]:,.1f}" for measured in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
