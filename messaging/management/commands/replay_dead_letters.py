import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from messaging.management.dead_letters import add_filters, chosen
from messaging.models import Delivery


class Command(BaseCommand):
    help = (
        "Make dead letters pending again, due at once and with all their attempts; all of them, or those that match "
        "ids and filters. Only their own subscriber gets them, in order. Deliveries that are no longer dead are left "
        "unchanged, so it may run again. Fix the cause first: see list_dead_letters. "
        "Exit status: 0 if replayed, even if there were none; 1 for a filter value that does not exist and 2 for wrong "
        "arguments, with nothing changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_filters(parser)
        parser.add_argument("--dry-run", action="store_true", help="replay nothing, print how many would be replayed")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        letters = Delivery.objects.filter(pk__in=chosen(options).values("pk"))
        count = letters.count() if dry_run else letters.replay(timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps({"replayed": 0 if dry_run else count, "matching": count, "dry_run": dry_run}))
        else:
            self.stdout.write(f"{'Would replay' if dry_run else 'Replayed'} {count} dead letters.")
