import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from messaging.management.shell import log_from_shell
from messaging.models import OperatorPause
from messaging.pauses import resume
from messaging.subscribers import all_subscribers


class Command(BaseCommand):
    help = (
        "Resume a subscriber that pause_subscriber or an operator in the admin has paused: workers deliver what waits, "
        "in its order. Pauses that workers make while an external service is down end by themselves. "
        "Exit status: 0 if it is not paused any more, also if it was not; 1 for an unknown subscriber; 2 for wrong "
        "arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("subscriber", help="such as notifications.send_email")
        parser.add_argument("--reason", default="", help="why, for the log")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, *, subscriber: str, reason: str, **options: Any) -> None:
        names = {*all_subscribers(), *OperatorPause.objects.values_list("subscriber", flat=True)}
        if subscriber not in names:
            raise CommandError(f"There is no subscriber {subscriber!r}. Choose from: {', '.join(sorted(names))}.")
        with transaction.atomic():
            was_paused = resume(subscriber)
            log_from_shell([OperatorPause(subscriber=subscriber)] * was_paused, f"Resumed {subscriber}.", reason)
        if options["json"]:
            self.stdout.write(json.dumps({"subscriber": subscriber, "was_paused": was_paused}))
        else:
            self.stdout.write(f"Resumed {subscriber}." if was_paused else f"{subscriber} was not paused.")
