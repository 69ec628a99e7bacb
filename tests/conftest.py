"""
No worker, no sleep, no network: `drain()` delivers everything due until it is quiet, in the test's own process.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging import relay
from payments import gateway
from tests.gateways import LedgerGateway


@pytest.fixture(autouse=True)
def _mail_is_kept(settings):
    settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"


@pytest.fixture
def drain() -> Callable[..., Counter]:
    """
    Deliver everything due; `drain(after=timedelta(...))` delivers what will be due by then.
    """

    def deliver(*, after: timedelta = timedelta()) -> Counter:
        return relay.drain(clock=lambda: timezone.now() + after, timeout=60)

    return deliver


@pytest.fixture
def ledger(monkeypatch) -> LedgerGateway:
    """
    Pay through a gateway that remembers.
    """
    remembering = LedgerGateway()
    monkeypatch.setattr(gateway, "current", lambda: remembering)
    return remembering
