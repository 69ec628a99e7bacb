"""
The Stripe adapter is tested against a stub of the part of Stripe's API that it uses, whose objects were written by hand
after Stripe's reference. It was never run against Stripe itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import stripe

from payments.gateway.adapters.stripe import StripeGateway
from payments.gateway.protocol import Gateway
from tests.payments.gateway.adapters.stripe.scenes import NOW, OLD_SECRET, SECRET
from tests.payments.gateway.adapters.stripe.server import StripeServer


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


@pytest.fixture
def configure_stripe(settings, monkeypatch, server) -> Callable[..., None]:
    monkeypatch.setattr(stripe, "enable_telemetry", False)

    def configure(**changes) -> None:
        settings.PAYMENTS = replace(settings.PAYMENTS, **changes)

    configure(
        gateway="payments.gateway.adapters.stripe.StripeGateway",
        stripe_api_key="sk_test_shop",
        stripe_api_base=server.address,
        webhook_secrets=(SECRET, OLD_SECRET),
        timeout_seconds=10,
    )
    return configure


@pytest.fixture
def gateway(configure_stripe) -> Gateway:
    return StripeGateway(clock=lambda: NOW)
