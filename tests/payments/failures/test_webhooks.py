"""Webhooks that are duplicated, early or out of order, numbered as in the list of failures."""

from datetime import timedelta
from itertools import permutations

import pytest
from django.conf import settings
from django.utils import timezone

from messaging.models import Delivery
from payments.charges import services
from payments.gateway.protocol import Outcome
from payments.models import PaymentIntent, WebhookEvent
from payments.webhooks import processing
from tests.factories import make_stock, place_order
from tests.journeys.orders import history_of, mail_kinds, place
from tests.outbox import announced
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows, webhook_statuses
from tests.payments.scenes import (
    NOON,
    charge_elsewhere,
    collect,
    deliver,
    dues_of,
    payload_of,
    payment_requested,
    unopened_intent,
)

pytestmark = pytest.mark.django_db

KEPT, SURPLUS = CaptureRow(4_500), CaptureRow(4_500, surplus=True, returned=4_500)
PARKING = timedelta(seconds=settings.PAYMENTS.webhook_parking_seconds)
A_MOMENT = timedelta(seconds=1)


@pytest.fixture
def waiting(ledger) -> PaymentIntent:
    """A payment that waits for its customer."""
    return collect("tok_pending")


class TestF6Duplicates:
    @pytest.mark.parametrize("ids", [1, 20], ids=["one event", "twenty events"])
    def test_take_effect_once_and_leave_nothing_to_our_own_query(self, api, drain, ledger, ids):
        make_stock()
        order = place(api, payment_method="tok_timeout")
        drain()
        payloads = [payload_of(PaymentIntent.objects.get()) for _ in range(ids)]

        deliver(*payloads * (20 // ids), now=timezone.now())
        drain()
        drain(after=timedelta(seconds=6))

        assert history_of(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (capture_rows(), refund_rows(), mail_kinds()) == ([KEPT], [], ["order_confirmed"])
        assert webhook_statuses() == ["settled"] * ids
        assert ledger.calls == {"charge": 1, "look_up": 1}
        assert announced()["payments.payment_succeeded"] == 1


class TestF7WebhookBeforeItsPayment:
    def test_is_parked_and_processed_when_the_payment_is_opened(self, drain, ledger):
        make_stock()
        order = place_order()
        payload = charge_elsewhere(ledger, unopened_intent(order_id=order.pk))
        deliver(payload, now=timezone.now())
        processing.process([str(WebhookEvent.objects.get().pk)], now=timezone.now())
        assert webhook_statuses() == ["parked"]

        drain(after=A_MOMENT)

        assert webhook_statuses() == ["settled"]
        assert capture_rows() in ([KEPT, SURPLUS], [SURPLUS, KEPT])
        order.refresh_from_db()
        assert (order.status, order.refunded) == ("confirmed", 0)

    def test_is_no_dead_letter_when_its_parking_ends_after_it_was_processed(self, drain, ledger):
        request = payment_requested(payment_method="tok_pending")
        unopened = unopened_intent(order_id=request.order_id)
        deliver(payload_of(unopened, Outcome.PROCESSING), now=timezone.now())
        drain()
        services.collect([request], now=timezone.now())
        drain()

        drain(after=PARKING + A_MOMENT)

        assert webhook_statuses() == ["settled"]
        assert not Delivery.objects.dead().exists()

    def test_is_a_dead_letter_when_its_parking_is_over_and_processed_when_replayed(self, drain, ledger):
        unopened = unopened_intent()
        deliver(payload_of(unopened, Outcome.DECLINED), now=timezone.now())

        drain(after=PARKING - A_MOMENT)
        assert (webhook_statuses(), Delivery.objects.dead().count()) == (["parked"], 0)

        drain(after=PARKING + A_MOMENT)
        (dead,) = Delivery.objects.dead()
        assert (dead.subscriber, dead.error_class, dead.attempts) == ("payments.settle_webhook", "WebhookUnmatched", 1)
        assert (webhook_statuses(), ledger.calls) == (["parked"], {})

        services.settle_overdue(dues_of(unopened), now=NOON)
        Delivery.objects.replay(timezone.now())
        drain(after=PARKING + A_MOMENT)
        assert webhook_statuses() == ["settled"]
        assert not Delivery.objects.dead().exists()


class TestF8OutOfOrder:
    CLAIMS = (Outcome.PROCESSING, Outcome.DECLINED, Outcome.SUCCEEDED, Outcome.CANCELLED)
    ENDS = {
        Outcome.SUCCEEDED: ("succeeded", {"payments.payment_succeeded": 1}),
        Outcome.DECLINED: ("failed", {"payments.payment_failed": 1}),
        Outcome.CANCELLED: ("cancelled", {"payments.payment_failed": 1}),
        Outcome.PROCESSING: ("processing", {}),
    }

    @pytest.mark.parametrize(
        "claims", list(permutations(CLAIMS)), ids=lambda claims: "-".join(claim[:4] for claim in claims)
    )
    @pytest.mark.parametrize("truth", ENDS)
    def test_claims_end_as_the_gateway_decided(self, ledger, waiting, claims, truth):
        decide = {
            Outcome.SUCCEEDED: ledger.approve,
            Outcome.DECLINED: ledger.decline,
            Outcome.CANCELLED: ledger.processor.cancel,
        }
        if truth in decide:
            decide[truth](str(waiting.pk))

        for outcome in claims:
            deliver(payload_of(waiting, outcome))
            processing.process([str(WebhookEvent.objects.latest("pk").pk)], now=NOON)

        waiting.refresh_from_db()
        events = announced()
        assert events.pop("payments.webhook_received") == len(claims)
        assert (waiting.status, events) == self.ENDS[truth]
        assert capture_rows() == ([KEPT] if truth is Outcome.SUCCEEDED else [])

    @pytest.mark.parametrize("late", CLAIMS)
    def test_a_late_one_does_not_revive_a_refunded_payment(self, ledger, waiting, drain, late):
        ledger.approve(str(waiting.pk))
        deliver(payload_of(waiting), now=timezone.now())
        drain()
        services.stop(dues_of(waiting), now=NOON)
        drain()

        deliver(payload_of(waiting, late), now=timezone.now())
        drain()

        assert capture_rows() == [CaptureRow(4_500, returned=4_500)]
        assert refund_rows() == [RefundRow(4_500, "succeeded", "order cancelled")]
        assert announced()["payments.payment_succeeded"] == 1
