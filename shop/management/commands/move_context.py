from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from shop.management.moving import move_context


class Command(BaseCommand):
    help = (
        "Move a context here from the database of the service that had it: its rows, and all deliveries to its "
        "subscribers with their messages. First stop the workers there that run the context. It may be killed and run "
        "again: everything is moved, or nothing. Run it again if a web process that ran the context was stopped later. "
        "Exit status: 0 if moved, even if nothing was left; 1 if nothing was moved, for the reason that it prints; 2 "
        "for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("context", choices=["inventory", "payments", "notifications"], help="the context to move")
        parser.add_argument("--from", required=True, dest="source", metavar="URL", help="the database that had it")

    def handle(self, *, context: str, source: str, **options: Any) -> None:
        if context not in settings.SERVICE.contexts:
            raise CommandError(f"This service does not run {context}: set CONTEXTS and DATABASE_URL to those that do.")
        lease_seconds = settings.MESSAGING.lease_seconds
        moved = move_context(context, source, lease_seconds=lease_seconds, now=timezone.now())
        self.stdout.write(f"Moved {moved.rows} rows of {context} and {moved.deliveries} deliveries to it.")
