import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from shop.operations import audit, recorded_audits


class Command(BaseCommand):
    help = (
        "Check the invariants of all contexts on one consistent state of the database, or of the databases of all "
        "services. It is read-only and blocks no writers, so it may run at any time, also while orders are placed. A "
        "check that examined nothing is unknown, and its reason is printed. Exit status: 0 if every check is ok, 1 if "
        "a rule is violated, 2 if a check is unknown, 3 if the audit could not run. docs/how-to/operations.md explains "
        "each rule and what to do about a violation. With --record the result is stored, as a cluster (manage.py "
        "qcluster) does once a day: the admin and /metrics show it, and the operator gets a mail about new violations."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

        parser.add_argument(
            "--record", action="store_true", help="store the result, and alert the operator of new violations"
        )

    def handle(self, **options: Any) -> None:
        if options["record"]:
            settings.OPERATOR.refuse("store the result of an audit")
        run = recorded_audits.record if options["record"] else audit.run
        try:
            report = run(now=timezone.now())
        except (DatabaseError, InterfaceError, audit.NoConsistentState, recorded_audits.AlreadyRunning) as error:
            raise CommandError(f"The audit could not run: {error}", returncode=3) from error
        self.stdout.write(json.dumps(report.as_dict()) if options["json"] else "\n".join(lines(report)))
        if report.verdict is not audit.Verdict.OK:
            sys.exit(report.verdict.exit_status)


def lines(report: audit.AuditReport) -> Iterator[str]:
    """
    Return the table for people: a line for each check, and one for violations or the reason of an unknown verdict.
    """
    for result in report.results:
        yield f"{result.verdict:9}  {result.id:3}  {result.evaluated:>9} rows  {result.rule}"
        if result.violations:
            yield f"{'':9}  {result.violations} violations, for example {', '.join(result.examples)}"
        if result.reason:
            yield f"{'':9}  because {result.reason}"
    if "O8" not in {result.id for result in report.results}:
        yield f"{'skipped':9}  O8   the gateway in use has no statement to compare with"
    yield f"The verdict: {report.verdict}."
