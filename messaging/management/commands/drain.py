import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from messaging.kernel import tables
from messaging.kernel.argument_types import seconds
from messaging.liveness import take_over_from_dead_workers
from messaging.relay import Relay


class Command(BaseCommand):
    help = (
        "Deliver in this process until nothing is due, then print the number of deliveries by subscriber and outcome. "
        "It may run beside workers, be killed at any time and run again. Deliveries claimed by workers that died are "
        "taken over. Messages published for later, deliveries that wait for a retry and those claimed by other workers "
        "are not due; neither is what waits for a paused subscriber. "
        "Exit status: 0 if nothing is due, 1 after the timeout, 2 for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--timeout", type=seconds, metavar="S", help="stop after this many seconds")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, *, timeout: float | None, **options: Any) -> None:
        relay = Relay()
        take_over_from_dead_workers()
        try:
            relay.drain(timeout=timeout)
        except TimeoutError as error:
            self._report(relay, drained=False, **options)
            raise CommandError(f"{error} Run it again, or see list_dead_letters and the log.") from error
        self._report(relay, drained=True, **options)

    def _report(self, relay: Relay, *, drained: bool, **options: Any) -> None:
        rows = [(*result, count) for result, count in sorted(relay.outcomes.items())]
        if options["json"]:
            deliveries: dict[str, dict[str, int]] = {}
            for subscriber, outcome, count in rows:
                deliveries.setdefault(subscriber, {})[outcome] = count
            self.stdout.write(json.dumps({"drained": drained, "deliveries": deliveries}))
        elif rows:
            tables.show(self.stdout, ["subscriber", "outcome", "deliveries"], rows)
        else:
            self.stdout.write("Nothing was due.")
