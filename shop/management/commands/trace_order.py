import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from rich.console import Console
from rich.text import Text

from shop.operations import trace

COLOURS = {
    "delivered": "green",
    "pending": "yellow",
    "dead": "bold red",
    "discarded": "dim",
}


class Command(BaseCommand):
    help = (
        "Tell the story of one order over all contexts, in order of time: its states, stock, money and notifications, "
        "the messages about it with what caused them, and for each message who has heard it, after how many attempts "
        "and with which latest error. It changes nothing. "
        "Exit status: 0 when told, 1 when there is no such order, 2 when asked wrongly."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("order", help="its id, or its idempotency key, which for imported orders is the invoice")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")

    def handle(self, *, order: str, **options: Any) -> None:
        try:
            story = trace.of(order)
        except trace.UnknownOrder as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(story), cls=DjangoJSONEncoder))
            return
        console = Console(file=self.stdout, highlight=False)
        for line in lines(story):
            console.print(line, soft_wrap=True)


def lines(story: trace.Trace) -> Iterator[Text]:
    """
    Write the story down, a line for each entry and each delivery; colours show on a terminal only.
    """
    key = "" if story.idempotency_key == str(story.order) else f" ({story.idempotency_key})"
    yield Text(f"Order {story.order}{key}: {story.status}, {story.total}", style="bold")
    for entry in story.timeline:
        because = f"  because of {entry.because}" if entry.because else ""
        yield Text.assemble(
            (f"{entry.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], "dim"), f"  {entry.context:13}  {entry.what}", (because, "dim")
        )
        for delivery in entry.deliveries:
            yield _heard(delivery)


def _heard(delivery: trace.Hearing) -> Text:
    moment = f"{'at' if delivery.status == 'delivered' else 'due'} {delivery.at:%Y-%m-%d %H:%M:%S}"
    error = " ".join(delivery.latest_error.split())
    return Text.assemble(
        f"{'':40}{delivery.subscriber}: ",
        (delivery.status, COLOURS.get(delivery.status, "")),
        f" {moment}, {delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}",
        (f", latest error {error}" if error else "", "red"),
    )
