import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from django.utils.timezone import localtime

from messaging.management.shell import log_from_shell, shell_user
from messaging.pauses import pause
from messaging.subscribers import all_subscribers


class Command(BaseCommand):
    help = (
        "Pause a subscriber in all workers until resume_subscriber: its deliveries wait in their order, and nothing is "
        "lost. Batches that a worker has claimed are finished first. outbox_status shows the pause. "
        "Exit status: 0 if it is paused, also if it was before; 1 for an unknown subscriber or without a reason; 2 for "
        "wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("subscriber", help="such as notifications.send_email")
        parser.add_argument("--reason", required=True, help="why it is paused")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, *, subscriber: str, reason: str, **options: Any) -> None:
        if subscriber not in (names := all_subscribers()):
            raise CommandError(f"There is no subscriber {subscriber!r}. Choose from: {', '.join(sorted(names))}.")
        if not reason.strip():
            raise CommandError("Say why it is paused: --reason.")
        with transaction.atomic():
            paused, is_new = pause(subscriber, reason=reason, by=shell_user(), now=timezone.now())
            log_from_shell([paused] * is_new, f"Paused {subscriber}.", reason)
        since = localtime(paused.paused_at)
        if options["json"]:
            about = {"paused_by": paused.paused_by, "paused_at": since.isoformat(), "reason": paused.reason}
            self.stdout.write(json.dumps({"subscriber": subscriber, "is_new": is_new, **about}))
        elif is_new:
            self.stdout.write(f"Paused {subscriber}. Resume it: resume_subscriber {subscriber}")
        else:
            self.stdout.write(f"{subscriber} is already paused since {since:%Y-%m-%d %H:%M:%S} by {paused.paused_by}.")
