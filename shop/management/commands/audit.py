import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from shop.operations import audit


class Command(BaseCommand):
    help = (
        "Check what must always hold, over all contexts, on one consistent state of the database. It changes nothing "
        "and holds up nobody, so run it at any time, also while orders are coming in. A check that found nothing to "
        "look at is unknown. Exit status: 0 when all is well, 1 when a rule is violated, 2 when a check is unknown, "
        "3 when it could not run. See docs/operations.md for what each rule means and what to do when it is violated."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, **options: Any) -> None:
        try:
            report = audit.run(now=timezone.now())
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(f"The audit could not run: {error}", returncode=3) from error
        self.stdout.write(json.dumps(report.as_dict()) if options["json"] else told(report))
        if report.verdict is not audit.Verdict.OK:
            sys.exit(report.verdict.exit_status)


def told(report: audit.Report) -> str:
    """
    Tell it to a person, a line for each check.
    """
    lines = []
    for result in report.results:
        lines.append(f"{result.verdict:9}  {result.id:3}  {result.evaluated:>9} rows  {result.rule}")
        if result.violations:
            lines.append(f"{'':9}  {result.violations} violations, for example {', '.join(result.examples)}")
    if "O8" not in {result.id for result in report.results}:
        lines.append(f"{'left out':9}  O8   the gateway in use keeps no books to compare ours with")
    return "\n".join([*lines, f"The verdict: {report.verdict}."])
