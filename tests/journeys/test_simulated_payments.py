"""
Orders paid through the simulator's HTTP server, with webhooks to a running web server and a worker. Each token selects
a behaviour of the gateway; each order must end as the simulator's ledger says.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from messaging.models import Delivery, OutboxMessage
from orders.models import Order
from payments.charges import outcomes
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent
from payments.simulator.server import Simulator
from shop.operations import audit
from shop.settings.groups import SIMULATED_GATEWAY
from tests.factories import make_stock, place_order
from tests.simulators import running
from tests.threads import workers
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SECRETS = ["whsec_" + "c2VjcmV0IG9mIHRoZSBnYXRld2F5IG9mIHRoZXNlIHRlc3Rz"]


@pytest.fixture
def provider(live_server, settings, tmp_path, monkeypatch) -> Iterator[Simulator]:
    """
    A simulator that sends webhooks to this shop.
    """
    config = {"delay": 0.05, "slow_seconds": 0.3, "late_seconds": 1, "secrets": SECRETS}
    monkeypatch.setattr(outcomes, "PAYMENT_QUERY_DELAYS", [timedelta(seconds=0.1)] * 5)
    callback_url = live_server.url + reverse("payments:webhook")
    with running(ledger=tmp_path / "ledger.sqlite3", callback_url=callback_url, **config) as simulator:
        settings.PAYMENTS = replace(
            settings.PAYMENTS, gateway=SIMULATED_GATEWAY, simulator_url=simulator.address, webhook_secrets=SECRETS
        )
        make_stock(100)
        yield simulator


def is_final(order: Order) -> bool:
    order.refresh_from_db()
    return order.status not in {"placed", "awaiting_payment"}


def pay(token: str) -> Order:
    """
    Place an order, and deliver until it is confirmed or cancelled.
    """
    with workers(1):
        order = place_order(payment_method=f"tok_{token}")
        eventually(lambda: is_final(order))
    return order


class TestPayment:
    @pytest.mark.parametrize(
        "token",
        [
            *("visa", "slow", "error_once", "rate_limited", "callback_twice", "callback_twenty", "callback_reordered"),
            *("callback_before_answer", "contradictory", "unknown_payment"),
        ],
    )
    def test_confirms_its_order_once(self, provider, token):
        order = pay(token)

        assert order.status == "confirmed"
        [capture] = Capture.objects.all()
        assert (capture.amount, capture.currency, capture.surplus, capture.returned) == (4_500, "GBP", False, 0)
        assert OutboxMessage.objects.get(type="payments.payment_succeeded").causation_id
        assert audit.run(now=timezone.now()).violated == []

    @pytest.mark.parametrize("token", ["declined", "insufficient_funds", "expired_card", "fraud"])
    def test_cancels_its_order_when_it_is_declined(self, provider, token):
        order = pay(token)

        assert (order.status, order.cancel_reason) == ("cancelled", "payment_failed")
        reason = "card_declined" if token == "declined" else token
        assert list(PaymentIntent.objects.values_list("status", "failure_reason")) == [("failed", reason)]
        assert not Capture.objects.exists()

    def test_that_is_captured_twice_is_refunded_once(self, provider):
        pay("captured_twice")
        with workers(1):
            eventually(lambda: Refund.objects.filter(status="succeeded").exists())

        assert sorted(Capture.objects.values_list("surplus", "returned")) == [(False, 0), (True, 4_500)]
        assert audit.run(now=timezone.now()).violated == []

    def test_of_an_unknown_payment_is_parked(self, provider):
        pay("unknown_payment")
        with workers(1):
            eventually(lambda: WebhookEvent.objects.filter(status="parked").exists())

        delayed = Delivery.objects.get(subscriber="payments.settle_webhook", status="pending")
        assert delayed.delayed
