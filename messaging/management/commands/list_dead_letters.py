import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Prefetch
from django.utils import timezone

from messaging.dead_letters import Group, advice_for, groups
from messaging.kernel import tables
from messaging.management.dead_letters import FILTERS, add_filters, chosen, matching
from messaging.models import Attempt, Delivery
from messaging.status import age

GROUP_COLUMNS = ("letters", "subscriber", "error_class", "fingerprint", "first", "last")


class Command(BaseCommand):
    help = (
        "List dead letters: deliveries that failed permanently or too often, oldest first, each with its last error. "
        "With --group, one line for each subscriber and error: how many, and for how long. "
        "Nothing is changed. replay_dead_letters replays them, discard_dead_letters discards them; the admin shows "
        "their tracebacks. "
        "Exit status: 0 if listed, even if there are none, 1 for a filter value that does not exist, 2 for wrong "
        "arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_filters(parser)
        parser.add_argument("--group", action="store_true", help="count them by subscriber and error, without --limit")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")

    def handle(self, **options: Any) -> None:
        if options["group"]:
            self._show_groups(groups(matching(options)), options)
        else:
            failures = Prefetch("failures", Attempt.objects.defer("traceback"))
            self._show_letters(list(chosen(options).select_related("message").prefetch_related(failures)), options)

    def _show_letters(self, letters: Sequence[Delivery], options: Mapping[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps({"dead_letters": [described(letter) for letter in letters]}))
        elif letters:
            rows = [list(described(letter).values()) for letter in letters]
            tables.show(self.stdout, list(described(letters[0])), rows)
        else:
            self._show_none(options)

    def _show_groups(self, found: Sequence[Group], options: Mapping[str, Any]) -> None:
        if options["json"]:
            described_groups = [asdict(group) | {"advice": advice_for(group.error_class)} for group in found]
            self.stdout.write(json.dumps({"groups": described_groups}, cls=DjangoJSONEncoder))
        elif found:
            tables.show(self.stdout, GROUP_COLUMNS, [group_row(group) for group in found])
        else:
            self._show_none(options)

    def _show_none(self, options: Mapping[str, Any]) -> None:
        is_filtered = any(options[name] for name in FILTERS)
        self.stdout.write("No dead letter matches." if is_filtered else "There are no dead letters.")


def group_row(group: Group) -> Sequence[object]:
    now = timezone.now()
    first, last = (
        age((now - moment).total_seconds()) + " ago" if moment else ""
        for moment in (group.first_failed_at, group.last_failed_at)
    )
    return group.letters, group.subscriber, group.error_class, group.fingerprint, first, last


def described(letter: Delivery) -> dict[str, object]:
    """
    Return the columns of a dead letter.
    """
    last = max(letter.failures.all(), key=lambda failure: failure.pk, default=Attempt(error=""))
    return {
        "id": letter.pk,
        "subscriber": letter.subscriber,
        "type": letter.message.type,
        "key": letter.key,
        "attempts": letter.attempts,
        "failed_at": last.failed_at and last.failed_at.isoformat(timespec="seconds"),
        "error_class": letter.error_class,
        "error": last.error,
    }
