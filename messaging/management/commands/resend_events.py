from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from messaging.kernel.argument_types import moment
from messaging.models import Delivery
from messaging.sending import TRANSPORT


class Command(BaseCommand):
    help = (
        "Send events to the broker again that it has confirmed since a moment: after the broker has lost its data, or "
        "a service was restored from a backup. Workers send them, in their order. Services ignore those that they "
        "have. It may run again. "
        "Exit status: 0 if they are to be sent, even if there were none, 1 if there is no broker, 2 for wrong "
        "arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=moment, required=True, help="an ISO 8601 date or date and time")
        parser.add_argument("--dry-run", action="store_true", help="send nothing, print how many would be sent")

    def handle(self, *, since: datetime, dry_run: bool, **options: Any) -> None:
        if not settings.TRANSPORT.url:
            raise CommandError("There is no broker: set TRANSPORT_URL.")
        sent = Delivery.objects.filter(subscriber=TRANSPORT, delivered_at__gte=since)
        number = sent.count() if dry_run else sent.repeat(timezone.now())
        self.stdout.write(f"{number} events {'would be' if dry_run else 'are'} sent again.")
