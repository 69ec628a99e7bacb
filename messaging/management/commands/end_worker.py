from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from messaging.kernel.argument_types import positive
from messaging.liveness import request_end
from messaging.management.shell import log_from_shell
from messaging.models import Worker


class Command(BaseCommand):
    help = (
        "Request that a worker's cluster (qcluster) kills it, within seconds, and starts another: for a worker that "
        "outbox_status calls silent. What it had claimed is delivered again by others. "
        "Exit status: 0 if requested, 1 if there is no such worker, 2 for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=positive, help="number of the worker, which outbox_status prints")
        parser.add_argument("--reason", default="", help="why, for the log")

    def handle(self, *, number: int, reason: str, **options: Any) -> None:
        worker = Worker.objects.filter(number=number).first()
        if not worker:
            raise CommandError(f"There is no worker {number}: see outbox_status.")
        done = f"Requested the end of worker {worker}."
        with transaction.atomic():
            request_end(worker, now=timezone.now())
            log_from_shell([worker], done, reason)
        self.stdout.write(done)
