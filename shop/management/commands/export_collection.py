from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.core.management.base import BaseCommand

from shop.openapi.collection import collection, environment


class Command(BaseCommand):
    help = (
        "Write the API as a collection for Postman, Bruno and Insomnia, shop.postman_collection.json, and an "
        "environment for the demo, shop.postman_environment.json, from docs/openapi.yaml. "
        "Exit status: 0 if written, 1 if a file cannot be read or written, 2 for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        default = settings.BASE_DIR / "docs" / "examples"
        parser.add_argument(
            "--folder", type=Path, default=default, help="the folder to write to (default: docs/examples)"
        )

    def handle(self, *, folder: Path, **options: Any) -> None:
        described = yaml.safe_load((settings.BASE_DIR / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
        (folder / "shop.postman_collection.json").write_text(collection(described), encoding="utf-8")
        (folder / "shop.postman_environment.json").write_text(environment(), encoding="utf-8")
