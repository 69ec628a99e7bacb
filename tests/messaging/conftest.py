from collections.abc import Callable

import pytest

from messaging import subscribers
from messaging.relay import Relay
from tests.messaging.scenes import Clock


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
        settings.MESSAGING = settings.MESSAGING | changes

    return change
