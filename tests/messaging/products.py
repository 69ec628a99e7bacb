"""Events about products, and subscribers that record them as stock movements."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from inventory.models import StockMovement
from messaging.contracts import Event, ProductAdded
from messaging.models import Delivery
from messaging.outbox import publish_all


class Clock:
    """A clock that can be advanced."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return timezone.now() + self._ahead

    def advance(self, *, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)


class StoppedClock(Clock):
    """A clock that only moves when it is advanced. It is ahead of the real time, so that what is published is due."""

    def __init__(self) -> None:
        super().__init__()
        self._start = timezone.now() + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self._start + self._ahead


def added(sku: str, name: str = "") -> ProductAdded:
    return ProductAdded(sku=sku, name=name)


def announce(*events: Event, at: datetime | None = None) -> None:
    """Publish events in a transaction of their own."""
    with transaction.atomic():
        publish_all(events, at=at)


def record(events: Sequence[ProductAdded]) -> None:
    """Record each event, in a table whose constraints allow doubles."""
    StockMovement.objects.bulk_create(
        [
            StockMovement(sku=f"{event.sku} {event.name}".strip(), kind="received", quantity=1, at=timezone.now())
            for event in events
        ]
    )


def recorded() -> list[str]:
    """Return the recorded events, each as its SKU and name, in order."""
    return list(StockMovement.objects.order_by("id").values_list("sku", flat=True))


def statuses() -> dict[str, str]:
    """Return the status of each delivery by its key."""
    return dict(Delivery.objects.order_by("id").values_list("key", "status"))
