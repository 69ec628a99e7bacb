import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from rich.console import Console
from rich.text import Text

from shop.operations import trace

COLOURS = {
    "delivered": "green",
    "pending": "yellow",
    "in transit": "yellow",
    "dead": "bold red",
    "discarded": "dim",
}


class Command(BaseCommand):
    help = (
        "Print the timeline of one order over all contexts: its states, stock, payments and notifications, its "
        "messages with their causes and traces, the deliveries of each message with attempts and latest error, and "
        "what operators did. Read-only. Exit status: 0 if printed, 1 if no order or several are found, which it lists, "
        "2 for wrong arguments."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "order",
            help="its number, id or the beginning of it, idempotency key (for imported orders the invoice number), an"
            " e-mail address or its beginning, or a phone number",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")

    def handle(self, *, order: str, **options: Any) -> None:
        try:
            order_trace = trace.trace_order(order)
        except trace.UnknownOrder as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(order_trace), cls=DjangoJSONEncoder))
            return
        console = Console(file=cast("IO[str]", self.stdout), highlight=False)
        for line in lines(order_trace):
            console.print(line, soft_wrap=True)


def lines(order_trace: trace.OrderTrace) -> Iterator[Text]:
    """
    Return a line for each entry and each delivery; colours show on a terminal only.
    """
    key = "" if order_trace.idempotency_key == str(order_trace.order) else f" ({order_trace.idempotency_key})"
    trace_id = f", trace {order_trace.trace_id}" if order_trace.trace_id else ""
    order = f"{order_trace.number} {order_trace.order}{key}"
    yield Text(f"Order {order}: {order_trace.status}, {order_trace.total}{trace_id}", style="bold")
    for entry in order_trace.timeline:
        because = f"  caused by {entry.because}" if entry.because else ""
        because += f"  trace {entry.trace_id}" if entry.trace_id not in {"", order_trace.trace_id} else ""
        yield Text.assemble(
            (f"{entry.at:%Y-%m-%d %H:%M:%S.%f}"[:-3], "dim"), f"  {entry.context:13}  {entry.what}", (because, "dim")
        )
        for delivery in entry.deliveries:
            yield _delivery_line(delivery)


def _delivery_line(delivery: trace.TracedDelivery) -> Text:
    moment = f"{'at' if delivery.status in {'delivered', 'in transit'} else 'due'} {delivery.at:%Y-%m-%d %H:%M:%S}"
    error = " ".join(delivery.latest_error.split())
    return Text.assemble(
        f"{'':40}{delivery.subscriber}: ",
        (delivery.status, COLOURS.get(delivery.status, "")),
        f" {moment}, {delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}",
        (f", latest error {error}" if error else "", "red"),
    )
