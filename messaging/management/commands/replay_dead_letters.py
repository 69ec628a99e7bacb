import json
import sys
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from messaging.dead_letters import Result, replay, wait_for
from messaging.kernel.argument_types import positive, seconds
from messaging.management.dead_letters import add_filters, chosen, described_filters, described_number
from messaging.management.shell import log_from_shell, shell_user
from messaging.models import Delivery, Resolution

WAIT_SECONDS = 60
DIED, WAITING = 1, 3


class Command(BaseCommand):
    help = (
        "Make dead letters pending again, due at once and with all their attempts; all of them, or those that match "
        "ids and filters. Only their own subscriber gets them, in order. Deliveries that are no longer dead are left "
        "unchanged, so it may run again. Fix the cause first: see list_dead_letters. With --wait it tells what became "
        "of them; workers deliver them, so some have to run. The admin's log names the user of the shell. "
        "Exit status: 0 if replayed, even if there were none, with --wait if all were delivered; 1 if one died again, "
        "or for a filter value that does not exist; 2 for wrong arguments; 3 if some still wait after --wait. For 2, "
        "and for a filter value, nothing was changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_filters(parser)
        parser.add_argument(
            "--rate",
            type=positive,
            metavar="N",
            help="make at most N a second due; those that wait delay no later message of the same order",
        )
        parser.add_argument(
            "--wait", action="store_true", help="wait until all are delivered or have died again, for --timeout at most"
        )
        parser.add_argument(
            "--timeout",
            type=seconds,
            metavar="SECONDS",
            help=f"how long --wait waits at most (default: {WAIT_SECONDS})",
        )
        parser.add_argument("--reason", default="", help="why, for the log")
        parser.add_argument("--dry-run", action="store_true", help="replay nothing, print how many would be replayed")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        if options["timeout"] is not None and not options["wait"]:
            raise CommandError("--timeout limits --wait: give both. Nothing was changed.", returncode=2)
        letters = chosen(options)
        if dry_run:
            self._report_dry_run(Delivery.objects.filter(pk__in=letters.values("pk")).count(), options)
            return
        about, reason = {"chosen": described_filters(options), "rate": options["rate"]}, options["reason"]
        log = partial(log_from_shell, done="Replayed as a dead letter.", reason=reason)
        resolution = replay(letters, by=shell_user(), now=timezone.now(), reason=reason, log=log, **about)
        if not options["json"]:
            self.stdout.write(f"Replayed {described_number(resolution.letters)}.")
        result = self._wait(resolution, options["timeout"] or WAIT_SECONDS) if options["wait"] else None
        if options["json"]:
            replayed = {"replayed": resolution.letters, "matching": resolution.letters, "dry_run": False}
            self.stdout.write(json.dumps(replayed | ({"result": result.as_json()} if result else {})))
        elif result:
            self._report(result)
        if result and (result.died or result.waiting):
            sys.exit(DIED if result.died else WAITING)

    def _report_dry_run(self, count: int, options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps({"replayed": 0, "matching": count, "dry_run": True}))
        else:
            self.stdout.write(f"Would replay {described_number(count)}.")

    def _wait(self, resolution: Resolution, most: float) -> Result:
        """
        Wait, and show the progress on a terminal.
        """
        is_terminal = self.stderr.isatty()

        def show(result: Result) -> None:
            if is_terminal:
                self.stderr.write(f"\rdelivered {result.delivered}, waiting {result.waiting} \r", ending="")

        result = wait_for(resolution, seconds=most, report=show)
        if is_terminal:
            self.stderr.write("")
        return result

    def _report(self, result: Result) -> None:
        errors = ", ".join(f"{error} {number}" for error, number in sorted(result.errors.items()))
        self.stdout.write(self.style.SUCCESS(f"Delivered: {result.delivered}."))
        died = f"Died again: {result.died}" + (f" ({errors})." if errors else ".")
        self.stdout.write(self.style.ERROR(died) if result.died else died)
        if result.waiting:
            failing = f", of which {result.failing} failed and are retried" if result.failing else ""
            self.stdout.write(self.style.WARNING(f"Still waiting: {result.waiting}{failing}."))
            self.stdout.write("outbox_status tells whether workers run, and whether the subscriber is paused.")
        if result.others:
            self.stdout.write(f"Replayed or discarded by another meanwhile: {result.others}.")
