import json
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from messaging.dead_letters import discard
from messaging.management.dead_letters import (
    FILTERS,
    add_filters,
    chosen,
    described_filters,
    described_number,
)
from messaging.management.shell import log_from_shell, shell_user
from messaging.models import Delivery


class Command(BaseCommand):
    help = (
        "Discard dead letters for good: those that match ids and filters, of which one is required. They are never "
        "delivered. The admin shows who discarded them and why. Look at them first, with --dry-run and "
        "list_dead_letters. "
        "Exit status: 0 if discarded, even if there were none; 1 without a filter, without a reason or for a filter "
        "value that does not exist, and 2 for wrong arguments, with nothing changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_filters(parser)
        parser.add_argument("--reason", required=True, help="why they need not be delivered")
        parser.add_argument("--dry-run", action="store_true", help="discard nothing, print how many would be discarded")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, *, reason: str, dry_run: bool, **options: Any) -> None:
        letters = chosen(options)
        if not any(options[name] for name in FILTERS):
            raise CommandError("Choose dead letters by ids or filters. Nothing was changed.")
        if not reason.strip():
            raise CommandError("Say why they are discarded: --reason. Nothing was changed.")
        if dry_run:
            count, discarded = Delivery.objects.filter(pk__in=letters.values("pk")).count(), 0
        else:
            about = described_filters(options)
            log = partial(log_from_shell, done="Discarded as a dead letter.", reason=reason)
            resolution = discard(letters, by=shell_user(), now=timezone.now(), reason=reason, chosen=about, log=log)
            count = discarded = resolution.letters
        if options["json"]:
            self.stdout.write(json.dumps({"discarded": discarded, "matching": count, "dry_run": dry_run}))
        else:
            self.stdout.write(f"{'Would discard' if dry_run else 'Discarded'} {described_number(count)}.")
