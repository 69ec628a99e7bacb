import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from messaging.kernel import tables
from messaging.management.dead_letters import FILTERS, add_filters, chosen
from messaging.models import Attempt, Delivery


class Command(BaseCommand):
    help = (
        "List dead letters: deliveries that failed permanently or too often, oldest first, each with its last error. "
        "Nothing is changed. replay_dead_letters replays them; the admin shows their tracebacks and discards them. "
        "Exit status: 0 if listed, even if there are none, 1 for a filter value that does not exist, 2 for wrong "
        "arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_filters(parser)
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, **options: Any) -> None:
        letters = list(chosen(options).select_related("message").prefetch_related("failures"))
        if options["json"]:
            self.stdout.write(json.dumps({"dead_letters": [described(letter) for letter in letters]}))
        elif letters:
            rows = [list(described(letter).values()) for letter in letters]
            tables.show(self.stdout, list(described(letters[0])), rows)
        else:
            is_filtered = any(options[name] for name in FILTERS)
            self.stdout.write("No dead letter matches." if is_filtered else "There are no dead letters.")


def described(letter: Delivery) -> dict[str, object]:
    """
    Return the columns of a dead letter.
    """
    last = max(letter.failures.all(), key=lambda failure: failure.pk, default=Attempt(error=""))
    return {
        "id": letter.pk,
        "subscriber": letter.subscriber,
        "type": letter.message.type,
        "key": letter.key,
        "attempts": letter.attempts,
        "failed_at": last.failed_at and last.failed_at.isoformat(timespec="seconds"),
        "error_class": letter.error_class,
        "error": last.error,
    }
