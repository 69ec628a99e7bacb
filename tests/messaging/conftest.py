from collections.abc import Callable
from dataclasses import replace

import pytest

from messaging import subscribers
from messaging.contracts import ProductAdded, StockDepleted
from messaging.models import Delivery
from messaging.relay import Relay
from messaging.subscribers import Permanent
from tests.messaging.scenes import Clock, added, announce, write_down


@pytest.fixture
def subscribe(monkeypatch) -> Callable:
    """
    Subscribe functions for the length of the test, with no other subscriber around.
    """
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
    """
    Change settings of messaging for the length of the test.
    """

    def change(**changes: int) -> None:
        settings.MESSAGING = replace(settings.MESSAGING, **changes)

    return change


@pytest.fixture
def paint(subscribe) -> None:
    """
    Subscribe to products a function that writes them down.
    """

    @subscribe(ProductAdded)
    def paint(events):
        write_down(events)


@pytest.fixture
def letters(subscribe, relay) -> dict[str, int]:
    """
    Leave dead letters of two subscribers, and give their ids by key.
    """

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
