"""
Orders paid through the simulator: another program, real webhooks into a real web server, workers beside. Each token is
a way in which a gateway misbehaves; each order has to end as the money in the simulator's own ledger says.
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
    A simulator that calls this shop back.
    """
    conduct = {"delay": 0.05, "slow_seconds": 0.3, "late_seconds": 1, "secrets": SECRETS}
    monkeypatch.setattr(outcomes, "PAYMENT_QUERY_DELAYS", [timedelta(seconds=0.1)] * 5)
    callback_url = live_server.url + reverse("payments:webhook")
    with running(ledger=tmp_path / "ledger.sqlite3", callback_url=callback_url, **conduct) as simulator:
        settings.PAYMENTS = replace(
            settings.PAYMENTS, gateway=SIMULATED_GATEWAY, simulator_url=simulator.address, webhook_secrets=SECRETS
        )
        make_stock(100)
        yield simulator


def end_of(order: Order) -> tuple[str, str]:
    order.refresh_from_db()
    return order.status, order.cancel_reason


def pay(token: str) -> Order:
    """
    Place an order, and have it delivered until it has an end.
    """
    with workers(1):
        order = place_order(payment_method=f"tok_{token}")
        eventually(lambda: end_of(order)[0] not in {"placed", "awaiting_payment"})
    return order


class TestAPayment:
    @pytest.mark.parametrize(
        "token",
        [
            *("visa", "slow", "error_once", "rate_limited", "callback_twice", "callback_twenty", "callback_reordered"),
            *("callback_before_answer", "contradictory", "unknown_payment"),
        ],
    )
    def test_confirms_its_order_once(self, provider, token):
        order = pay(token)

        assert end_of(order) == ("confirmed", "")
        [capture] = Capture.objects.all()
        assert (capture.amount, capture.currency, capture.surplus, capture.returned) == (4_500, "GBP", False, 0)
        assert OutboxMessage.objects.get(type="payments.payment_succeeded").causation_id
        assert audit.run(now=timezone.now()).violated == []

    @pytest.mark.parametrize("token", ["declined", "insufficient_funds", "expired_card", "fraud"])
    def test_cancels_its_order_when_it_is_declined(self, provider, token):
        order = pay(token)

        assert end_of(order) == ("cancelled", "payment_failed")
        reason = "card_declined" if token == "declined" else token
        assert list(PaymentIntent.objects.values_list("status", "failure_reason")) == [("failed", reason)]
        assert not Capture.objects.exists()

    def test_that_comes_twice_goes_back_once(self, provider):
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
