"""
The Stripe adapter was tested against a stub server that speaks the part of Stripe's API it uses, with answers shaped
by hand after Stripe's documented objects. It was never run against Stripe itself.
"""

from collections.abc import Iterator

import pytest
import stripe

from payments.gateway.adapters.stripe import StripeGateway
from payments.gateway.protocol import Gateway
from tests.payments.adapters.stripe_api.scenes import NOW, OLD_SECRET, SECRET
from tests.payments.adapters.stripe_api.server import StripeServer


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with StripeServer() as running:
        yield running


@pytest.fixture
def configured(settings, monkeypatch, server):
    monkeypatch.setattr(stripe, "enable_telemetry", False)
    settings.PAYMENTS = {
        "GATEWAY": "payments.gateway.adapters.stripe.StripeGateway",
        "STRIPE_API_KEY": "sk_test_shop",
        "STRIPE_API_BASE": server.address,
        "WEBHOOK_SECRETS": [SECRET, OLD_SECRET],
        "TIMEOUT_SECONDS": 2,
    }
    return settings.PAYMENTS


@pytest.fixture
def gateway(configured) -> Gateway:
    return StripeGateway(clock=lambda: NOW)
