import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from messaging.kernel import tables
from messaging.kernel.argument_types import moment
from payments.differences import Difference
from payments.gateway.protocol import NoStatement, TimedOut, Unreachable
from payments.reconciliation import ReconciliationReport, reconcile


class Command(BaseCommand):
    help = (
        "Compare our books with the payment gateway's, both ways, and repair what is safe: captures that were not "
        "recorded are recorded, and refunded if no order wants them; refunds whose answers were lost are completed. "
        "Every other difference is left to an operator. The command may run at any time, be killed and be repeated; a "
        "running cluster runs it every hour. Exit status: 0 if the books agree, if need be after repair; 1 if a "
        "difference is left to an operator; 2 on invalid arguments, or if the gateway keeps no books; 3 if the gateway "
        "could not be queried."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=moment, help="only from this ISO 8601 date, or date and time, on")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, **options: Any) -> None:
        try:
            report = reconcile(since=options["since"], now=timezone.now())
        except NoStatement as error:
            raise CommandError(str(error), returncode=2) from error
        except (TimedOut, Unreachable) as error:
            raise CommandError(f"The gateway could not be queried: {error}", returncode=3) from error
        if options["json"]:
            self.stdout.write(json.dumps(as_dict(report)))
        else:
            self._write_table(report)
        if report.left:
            sys.exit(1)

    def _write_table(self, report: ReconciliationReport) -> None:
        rows = [
            (difference.kind, state, difference.reference, difference.order_id, difference.description)
            for state, differences in (("repaired", report.repaired), ("left", report.left))
            for difference in differences
        ]
        if rows:
            tables.show(self.stdout, ["kind", "state", "reference", "order", "detail"], rows)
        self.stdout.write(
            f"Captures at the gateway: {report.entries}; in our books: {report.captures}. "
            f"Differences repaired: {len(report.repaired)}; left to an operator: {len(report.left)}."
        )


def as_dict(report: ReconciliationReport) -> dict[str, object]:
    """
    Return a report as it is written in JSON.
    """
    return {
        "bookings": report.entries,
        "captures": report.captures,
        "repaired": _as_dicts(report.repaired),
        "left": _as_dicts(report.left),
    }


def _as_dicts(differences: Iterable[Difference]) -> list[dict[str, str]]:
    """
    Return differences as they are written in JSON: the amounts of `detail` are in minor units.
    """
    return [
        {
            "kind": difference.kind,
            "reference": difference.reference,
            "order": difference.order_id,
            "detail": difference.detail,
            "description": difference.description,
        }
        for difference in differences
    ]
