import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from messaging.kernel import tables
from messaging.kernel.argument_types import moment
from payments.gateway.protocol import NoStatement, TimedOut, Unreachable
from payments.reconciliation import Difference, Report, reconcile


class Command(BaseCommand):
    help = (
        "Compare our books with the payment gateway's, both ways, and repair what is safe: money that came and that "
        "nobody told us of is booked, and goes back if no order wants it; refunds whose answer was lost are settled. "
        "What differs otherwise is left to a person. It may run at any time, be killed and be run again; a running "
        "cluster does it once an hour. Exit status: 0 when the books agree, be it after repair, 1 when something is "
        "left to a person, 2 when asked wrongly or the gateway keeps no books, 3 when it could not be asked."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=moment, help="only from this ISO 8601 date, or date and time, on")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, **options: Any) -> None:
        try:
            report = reconcile(since=options["since"], now=timezone.now())
        except NoStatement as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        except (TimedOut, Unreachable) as problem:
            raise CommandError(f"The gateway could not be asked: {problem}", returncode=3) from problem
        if options["json"]:
            self.stdout.write(json.dumps(as_dict(report)))
        else:
            self._tell(report)
        if report.left:
            sys.exit(1)

    def _tell(self, report: Report) -> None:
        rows = [
            *([row["kind"], "repaired", *list(row.values())[1:]] for row in told(report.repaired)),
            *([row["kind"], "left", *list(row.values())[1:]] for row in told(report.left)),
        ]
        if rows:
            tables.show(self.stdout, ["kind", "state", "reference", "order", "detail"], rows)
        self.stdout.write(
            f"Captures at the gateway: {report.bookings}; in our books: {report.captures}. "
            f"Differences repaired: {len(report.repaired)}; left to a person: {len(report.left)}."
        )


def as_dict(report: Report) -> dict[str, object]:
    """
    Write a report as JSON has it.
    """
    return {
        "bookings": report.bookings,
        "captures": report.captures,
        "repaired": told(report.repaired),
        "left": told(report.left),
    }


def told(differences: Iterable[Difference]) -> list[dict[str, str]]:
    """
    Tell of each difference what a person needs to find it.
    """
    return [
        {"kind": it.kind, "reference": it.reference, "order": it.order_id, "detail": it.detail} for it in differences
    ]
