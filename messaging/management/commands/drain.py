import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from messaging.kernel import tables
from messaging.kernel.argument_types import seconds
from messaging.relay import Relay


class Command(BaseCommand):
    help = (
        "Deliver in this process until nothing is due, then print how many deliveries met which outcome, by "
        "subscriber. It runs beside other workers and may be run again or killed at any time. What is published for "
        "later, waits for its next attempt or is held by another worker is not due. "
        "Exit status: 0 when nothing is due, 1 when the timeout came first, 2 when asked wrongly."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--timeout", type=seconds, metavar="S", help="give up after this many seconds")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, *, timeout: float | None, **options: Any) -> None:
        relay = Relay()
        try:
            relay.drain(timeout=timeout)
        except TimeoutError as error:
            self._report(relay, drained=False, **options)
            raise CommandError(f"{error} Run it again, or look at list_dead_letters and the log.") from error
        self._report(relay, drained=True, **options)

    def _report(self, relay: Relay, *, drained: bool, **options: Any) -> None:
        rows = [(*met, count) for met, count in sorted(relay.outcomes.items())]
        if options["json"]:
            deliveries: dict[str, dict[str, int]] = {}
            for subscriber, outcome, count in rows:
                deliveries.setdefault(subscriber, {})[outcome] = count
            self.stdout.write(json.dumps({"drained": drained, "deliveries": deliveries}))
        elif rows:
            tables.show(self.stdout, ["subscriber", "outcome", "deliveries"], rows)
        else:
            self.stdout.write("Nothing was due.")
