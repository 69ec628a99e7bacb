from collections.abc import Callable
from dataclasses import replace

import pytest

from messaging import subscribers
from messaging.contracts import ProductAdded, StockDepleted
from messaging.models import Delivery
from messaging.relay import Relay
from messaging.subscribers import Permanent
from tests.messaging.products import Clock, added, announce, record


@pytest.fixture
def subscribe(monkeypatch) -> Callable:
    """The decorator `subscriber`, without any subscribers of the product."""
    monkeypatch.setattr(subscribers, "_registry", {})
    return subscribers.subscriber


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def relay(clock) -> Relay:
    return Relay(clock=clock)


@pytest.fixture
def messaging_settings(settings) -> Callable[..., None]:
    """Change settings of messaging during the test."""

    def change(**changes: int) -> None:
        settings.MESSAGING = replace(settings.MESSAGING, **changes)

    return change


@pytest.fixture
def paint(subscribe) -> None:
    """A subscriber that records products."""

    @subscribe(ProductAdded)
    def paint(events):
        record(events)


@pytest.fixture
def dead_letters(subscribe, relay) -> dict[str, int]:
    """Dead letters of two subscribers, their ids by key."""

    @subscribe(ProductAdded)
    def paint(events):
        raise Permanent("no paint left,\nnone at all")

    @subscribe(StockDepleted)
    def call_supplier(events):
        raise ZeroDivisionError

    announce(added("RED-CHAIR"), added("BLUE-CHAIR"), StockDepleted(sku="OLD-TABLE"))
    relay.drain()
    Delivery.objects.filter(key="OLD-TABLE").update(status="dead", claim_token=None)
    return dict(Delivery.objects.values_list("key", "pk"))
