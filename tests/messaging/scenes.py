"""
What the stories about messaging are told with: products are announced, and subscribers write down what they learn.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from multiprocessing import get_context

from django.core.management import call_command
from django.db import connections, transaction
from django.utils import timezone

from inventory.models import StockMovement
from messaging.contracts import Event, ProductAdded
from messaging.models import Delivery
from messaging.outbox import publish_all

PATIENCE_SECONDS = 20


class Clock:
    """
    Tells the time, and lets it pass without waiting.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return timezone.now() + self._ahead

    def advance(self, *, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


def added(sku: str, name: str = "") -> ProductAdded:
    return ProductAdded(sku=sku, name=name)


def announce(*events: Event, at: datetime | None = None) -> None:
    with transaction.atomic():
        publish_all(events, at=at)


def write_down(events: Sequence[ProductAdded]) -> None:
    """
    Leave an effect of each event in a ledger that does not mind doubles, as a transactional subscriber would.
    """
    StockMovement.objects.bulk_create(
        [
            StockMovement(sku=f"{event.sku} {event.name}".strip(), kind="received", quantity=1, at=timezone.now())
            for event in events
        ]
    )


def written() -> list[str]:
    return list(StockMovement.objects.order_by("id").values_list("sku", flat=True))


def statuses() -> dict[str, str]:
    """
    Tell how each delivery stands, by its key.
    """
    return dict(Delivery.objects.order_by("id").values_list("key", "status"))


def in_children(*stories: Callable[[], None]) -> list[int | None]:
    """
    Run each story in a process of its own, all at once, and return their exit codes: None for one that did not end.
    """
    connections.close_all()  # or a child that ends would end them for us
    children = [get_context("fork").Process(target=story) for story in stories]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE_SECONDS)
    ends = [child.exitcode for child in children]
    for child in children:
        child.kill()
    return ends


@contextmanager
def beside(story: Callable[[], object]) -> Iterator[Future]:
    """
    Run the story in a thread with connections of its own, while the block runs.
    """

    def tell() -> object:
        try:
            return story()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(tell)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: str, out: StringIO | None = None) -> str:
    out = out or StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def run_json(*arguments: str) -> dict:
    return json.loads(run(*arguments, "--json"))
