import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from messaging.kernel.argument_types import positive
from messaging.models import OutboxMessage, Resolution


class Command(BaseCommand):
    help = (
        "Delete messages whose deliveries were delivered before the retention time, or are discarded, with their "
        "deliveries and attempts, and then the records of replays and discards that no delivery refers to any more. "
        "Messages with pending or dead deliveries are kept. It uses small transactions: it "
        "may run beside workers, be killed and run again. A cluster (manage.py qcluster) prunes daily; without one, "
        "call this from cron. Exit status: 0 if pruned, even if there were none, 2 for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days",
            type=positive,
            default=settings.MESSAGING.retention_days,
            help="the retention time (default: MESSAGING_RETENTION_DAYS, now %(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="delete nothing, print how many would be deleted")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, *, days: int, dry_run: bool, **options: Any) -> None:
        before = timezone.now() - timedelta(days=days)
        messages = OutboxMessage.objects
        count = messages.finished_before(before).count() if dry_run else messages.prune(before=before)
        if not dry_run:
            Resolution.objects.finished_before(before).delete()
        if options["json"]:
            self.stdout.write(json.dumps({"pruned": 0 if dry_run else count, "matching": count, "dry_run": dry_run}))
        else:
            verb = "Would prune" if dry_run else "Pruned"
            self.stdout.write(f"{verb} {count} messages finished before {before:%Y-%m-%d %H:%M} UTC.")
