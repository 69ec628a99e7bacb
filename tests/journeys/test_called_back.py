"""
Webhooks of the gateway: each makes the shop query the gateway, and has no other effect.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from messaging.contracts import PaymentAnomalyFound
from messaging.models import Delivery, OutboxMessage
from payments.gateway.adapters.simulated import SimulatedGateway
from payments.models import PaymentIntent, WebhookEvent
from payments.webhooks import processing
from tests.factories import make_stock
from tests.gateways import RecordingGateway
from tests.journeys.orders import CONFIRMED, history_of, mail_subjects, place
from tests.outbox import published
from tests.payments.books import CaptureRow, capture_rows, refund_rows
from tests.webhooks import SECRET, WEBHOOKS, event, signed

AWAITING_PAYMENT = ["placed", "awaiting_payment"]


@pytest.fixture
def ledger(ledger, settings) -> RecordingGateway:
    """
    Pay through a gateway in this process that sends webhooks.
    """
    settings.PAYMENTS = replace(settings.PAYMENTS, webhook_secrets=(SECRET,))
    ledger.read_webhook = SimulatedGateway().read_webhook
    return ledger


@pytest.fixture
def order(api, ledger, drain) -> str:
    """
    An order whose payment is pending at the gateway.
    """
    make_stock()
    url = place(api, payment_method="tok_pending")
    drain()
    return url


def deliver(*bodies: bytes) -> None:
    """
    Send each of these bodies as a webhook with an event id of its own.
    """
    for number, body in enumerate(bodies, start=WebhookEvent.objects.count()):
        headers = signed(body, event_id=f"evt_{number}")
        response = Client().post(WEBHOOKS, body, "application/json", headers=headers)
        assert (response.status_code, response.json()) == (200, {"received": True})


def webhook_of(intent: PaymentIntent, status: str = "succeeded", **changes: object) -> bytes:
    charge = {"key": str(intent.pk), "order_id": str(intent.order_id), "reference": f"instant-{intent.pk}"}
    return event(**charge | {"status": status} | changes)


def statuses() -> list[str]:
    return list(WebhookEvent.objects.order_by("pk").values_list("status", flat=True))


def process_webhooks() -> None:
    """
    Process the stored webhooks before any message is delivered.
    """
    processing.process([str(webhook.pk) for webhook in WebhookEvent.objects.all()], now=timezone.now())


@pytest.mark.django_db
class TestWebhook:
    def test_confirms_the_order_once_when_repeated(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))

        deliver(*[webhook_of(intent)] * 3)
        drain()

        assert history_of(api, order) == CONFIRMED
        assert capture_rows() == [CaptureRow(4_500)]
        assert mail_subjects() == ["Your order is confirmed"]
        assert statuses() == ["settled"] * 3

    def test_continues_the_trace_of_its_order(self, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))

        deliver(webhook_of(intent))
        drain()

        of_order = OutboxMessage.objects.filter(key=str(intent.order_id))
        assert of_order.filter(type="orders.order_confirmed").exists()
        assert len(set(of_order.values_list("traceparent", flat=True))) == 1

    def test_has_no_effect_unless_the_gateway_confirms_the_charge(self, api, drain, ledger, order):
        deliver(webhook_of(PaymentIntent.objects.get()))
        drain()

        assert history_of(api, order) == AWAITING_PAYMENT
        assert capture_rows() == []

    def test_of_another_amount_becomes_a_dead_letter_and_an_anomaly(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))

        deliver(webhook_of(intent, amount=4_501))
        drain()

        assert history_of(api, order) == AWAITING_PAYMENT
        assert statuses() == ["disputed"]
        assert Delivery.objects.dead().count() == 1
        assert published(PaymentAnomalyFound) == [
            PaymentAnomalyFound(
                order_id=str(intent.order_id), anomaly="disputed_webhook", amount=4_501, currency="GBP", detail="evt_0"
            )
        ]

    def test_is_parked_until_its_payment_is_opened(self, api, drain, ledger):
        make_stock()
        order = place(api)
        order_id = api.get(order).json()["id"]
        deliver(event(key="early", order_id=order_id))
        process_webhooks()
        assert statuses() == ["parked"]

        drain()

        assert history_of(api, order) == CONFIRMED
        assert (statuses(), Delivery.objects.dead().count()) == (["settled"], 0)

    def test_of_an_unknown_payment_is_parked_then_a_dead_letter(self, drain, ledger, settings):
        deliver(event())
        drain()
        assert (statuses(), Delivery.objects.dead().count()) == (["parked"], 0)

        drain(after=timedelta(seconds=settings.PAYMENTS.webhook_parking_seconds + 1))

        assert (statuses(), Delivery.objects.dead().count()) == (["parked"], 1)

    def test_of_a_failure_after_the_capture_changes_nothing(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))
        deliver(webhook_of(intent))
        drain()

        deliver(webhook_of(intent, "declined"), webhook_of(intent, "cancelled"), webhook_of(intent, "processing"))
        drain()

        assert history_of(api, order) == CONFIRMED
        assert capture_rows() == [CaptureRow(4_500)]
        assert statuses() == ["settled"] * 4

    def test_of_a_capture_after_the_cancellation_is_refunded_once(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        api.post(f"{order}cancel/")
        drain()
        ledger.approve(str(intent.pk))

        deliver(*[webhook_of(intent)] * 3)
        drain()
        deliver(webhook_of(intent))
        drain()

        assert history_of(api, order)[-1] == "by_customer"
        assert capture_rows() == [CaptureRow(4_500, returned=4_500)]
        assert [(refund.amount, refund.status) for refund in refund_rows()] == [(4_500, "succeeded")]
        assert [refund.amount for refund in ledger.refunded.values()] == [4_500]
