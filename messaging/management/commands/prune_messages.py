import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from messaging.kernel.argument_types import positive
from messaging.models import OutboxMessage


class Command(BaseCommand):
    help = (
        "Delete messages that were delivered, or discarded, longer ago than the retention time, with their deliveries "
        "and attempts. Pending and dead ones stay, however old. It works in small transactions, so it may run beside "
        "the workers, be killed and be run again. A running cluster (manage.py qcluster) prunes once a day; without "
        "one, call this from cron. Exit status: 0 when pruned, be it none, 2 when asked wrongly."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days",
            type=positive,
            default=settings.MESSAGING.retention_days,
            help="the retention time (default: MESSAGING_RETENTION_DAYS, now %(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="only tell how many would be deleted")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, *, days: int, dry_run: bool, **options: Any) -> None:
        before = timezone.now() - timedelta(days=days)
        messages = OutboxMessage.objects
        count = messages.settled_before(before).count() if dry_run else messages.prune(before=before)
        if options["json"]:
            self.stdout.write(json.dumps({"pruned": 0 if dry_run else count, "matching": count, "dry_run": dry_run}))
        else:
            verb = "Would prune" if dry_run else "Pruned"
            self.stdout.write(f"{verb} {count} messages settled before {before:%Y-%m-%d %H:%M} UTC.")
