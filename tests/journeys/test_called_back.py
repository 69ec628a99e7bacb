"""
What the gateway calls back with is a reason to ask it, and never more than that.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from messaging.contracts import PaymentAnomalyFound
from messaging.models import Delivery
from payments.gateway.adapters.simulated import SimulatedGateway
from payments.models import PaymentIntent, WebhookEvent
from payments.webhooks import processing
from tests.factories import make_stock
from tests.gateways import RecordingGateway
from tests.journeys.story import letters, place, story
from tests.outbox import published
from tests.payments.books import CaptureRow, capture_rows, refund_rows
from tests.webhooks import SECRET, WEBHOOKS, event, signed

CONFIRMED = ["placed", "awaiting_payment", "confirmed"]


@pytest.fixture
def ledger(ledger, settings) -> RecordingGateway:
    """
    Pay through a gateway that remembers, and that calls back.
    """
    settings.PAYMENTS = replace(settings.PAYMENTS, webhook_secrets=(SECRET,))
    ledger.read_webhook = SimulatedGateway().read_webhook
    return ledger


@pytest.fixture
def order(api, ledger, drain) -> str:
    """
    An order whose customer has still to agree at the gateway.
    """
    make_stock()
    placed = place(api, payment_method="tok_pending")
    drain()
    return placed


def deliver(*bodies: bytes) -> None:
    """
    Call back with these, each under an id of its own.
    """
    for number, body in enumerate(bodies, start=WebhookEvent.objects.count()):
        headers = signed(body, event_id=f"evt_{number}")
        answer = Client().post(WEBHOOKS, body, "application/json", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"received": True})


def told_of(intent: PaymentIntent, status: str = "succeeded", **changes: object) -> bytes:
    known = {"key": str(intent.pk), "order_id": str(intent.order_id), "reference": f"instant-{intent.pk}"}
    return event(**known | {"status": status} | changes)


def statuses() -> list[str]:
    return list(WebhookEvent.objects.order_by("pk").values_list("status", flat=True))


def settle_webhooks() -> None:
    """
    Look at the webhooks before anything else is delivered.
    """
    processing.process([str(webhook.pk) for webhook in WebhookEvent.objects.all()], now=timezone.now())


@pytest.mark.django_db
class TestCalledBack:
    def test_the_order_is_confirmed_once_however_often_that_is_told(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))

        deliver(*[told_of(intent)] * 3)
        drain()

        assert story(api, order) == CONFIRMED
        assert capture_rows() == [CaptureRow(4_500)]
        assert letters() == ["Your order is confirmed"]
        assert statuses() == ["settled"] * 3

    def test_nothing_is_believed_that_the_gateway_does_not_answer_when_asked(self, api, drain, ledger, order):
        deliver(told_of(PaymentIntent.objects.get()))
        drain()

        assert story(api, order) == ["placed", "awaiting_payment"]
        assert capture_rows() == []

    def test_another_amount_confirms_nothing_and_is_told_to_a_person(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))

        deliver(told_of(intent, amount=4_501))
        drain()

        assert story(api, order) == ["placed", "awaiting_payment"]
        assert statuses() == ["disputed"]
        assert Delivery.objects.dead().count() == 1
        assert published(PaymentAnomalyFound) == [
            PaymentAnomalyFound(
                order_id=str(intent.order_id), anomaly="disputed_webhook", amount=4_501, currency="GBP", detail="evt_0"
            )
        ]

    def test_what_comes_before_its_payment_is_opened_is_parked_until_then(self, api, drain, ledger):
        make_stock()
        order = place(api)
        order_id = api.get(order).json()["id"]
        deliver(event(key="early", order_id=order_id))
        settle_webhooks()
        assert statuses() == ["parked"]

        drain()

        assert story(api, order) == CONFIRMED
        assert (statuses(), Delivery.objects.dead().count()) == (["settled"], 0)

    def test_what_means_no_payment_of_ours_is_parked_then_left_to_a_person(self, drain, ledger, settings):
        deliver(event())
        drain()
        assert (statuses(), Delivery.objects.dead().count()) == (["parked"], 0)

        drain(after=timedelta(seconds=settings.PAYMENTS.webhook_parking_seconds + 1))

        assert (statuses(), Delivery.objects.dead().count()) == (["parked"], 1)

    def test_a_failure_that_comes_after_the_money_changes_nothing(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        ledger.approve(str(intent.pk))
        deliver(told_of(intent))
        drain()

        deliver(told_of(intent, "declined"), told_of(intent, "cancelled"), told_of(intent, "processing"))
        drain()

        assert story(api, order) == CONFIRMED
        assert capture_rows() == [CaptureRow(4_500)]
        assert statuses() == ["settled"] * 4

    def test_money_that_comes_after_the_order_was_cancelled_goes_back_once(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        api.post(f"{order}cancel/")
        drain()
        ledger.approve(str(intent.pk))

        deliver(*[told_of(intent)] * 3)
        drain()
        deliver(told_of(intent))
        drain()

        assert story(api, order)[-1] == "by_customer"
        assert capture_rows() == [CaptureRow(4_500, returned=4_500)]
        assert [(it.amount, it.status) for it in refund_rows()] == [(4_500, "succeeded")]
        assert [refund.amount for refund in ledger.refunded.values()] == [4_500]
