import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from shop.accounts import services, signatures


class Command(BaseCommand):
    help = (
        "Delete expired tokens, nonces of signatures too old to be accepted again, signing keys that ended a month ago "
        "and links in mails that were not used in time. While SECRET_KEY_FALLBACKS is set, re-encrypt the secrets of "
        "signing keys with SECRET_KEY. It may run beside the workers, be killed and be run again. A running cluster "
        "(manage.py qcluster) does this every hour; without one, call it from cron. Exit status: 0 if done."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a sentence")

    def handle(self, **options: Any) -> None:
        now = timezone.now()
        pruned = services.prune(nonces_before=now - signatures.NONCE_RETENTION, now=now)
        resealed = services.reseal_secrets() if settings.SECRET_KEY_FALLBACKS else 0
        if options["json"]:
            self.stdout.write(json.dumps(pruned | {"resealed": resealed}))
        else:
            counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in pruned.items())
            self.stdout.write(f"Pruned {counts}; re-encrypted {resealed} secrets.")
