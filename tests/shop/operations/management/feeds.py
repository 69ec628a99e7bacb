"""
Order feeds, and a runner of `import_orders`.
"""

import csv
import json
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from shop.operations.order_feed import COLUMNS

HEADER = ",".join(COLUMNS)
SAMPLE = settings.BASE_DIR / "shop" / "samples" / "online_retail_sample.csv"


def row(
    invoice: str = "536365",
    *,
    sku: str = "RED-CHAIR",
    description: str = "Red chair",
    quantity: str = "1",
    price: str = "45.00",
) -> str:
    return f"{invoice},{sku},{description},{quantity},12/1/10 8:26,{price},17850,United Kingdom"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def run(path: Path, **options: object) -> dict:
    """
    Import a feed and return the reported outcome without its duration.
    """
    output = StringIO()
    call_command("import_orders", path, json=True, stdout=output, **options)
    outcome = json.loads(output.getvalue())
    assert outcome.pop("seconds") >= 0
    return outcome


def outcome_of(
    *, accepted: int = 0, already_imported: int = 0, lines: int = 0, rejected: int = 0, **reasons: int
) -> dict:
    return {
        "accepted": accepted,
        "already_imported": already_imported,
        "rejected": rejected,
        "reasons": reasons,
        "lines": lines,
    }


def rejects(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
