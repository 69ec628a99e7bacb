from typing import Any

from django.core.management.base import BaseCommand

from shop.management import reference


class Command(BaseCommand):
    help = (
        "Write the parts of docs/reference that come from the code: settings, errors, checks, metrics, events and "
        "commands. Exit status: 0 if written, 1 if a page cannot be read or written, 2 for wrong arguments."
    )

    def handle(self, **options: Any) -> None:
        for path in reference.pages():
            path.write_text(reference.rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
