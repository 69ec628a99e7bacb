from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from messaging.asyncapi import as_yaml


class Command(BaseCommand):
    help = (
        "Write the description of the events that leave their service, in AsyncAPI 3.0, from messaging/contracts.py. "
        "Exit status: 0 if written, 1 if the file cannot be written, 2 for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        default = settings.BASE_DIR / "docs" / "asyncapi.yaml"
        parser.add_argument(
            "--file", type=Path, default=default, help="the file to write (default: docs/asyncapi.yaml)"
        )

    def handle(self, *, file: Path, **options: Any) -> None:
        file.write_text(as_yaml(), encoding="utf-8")
