import pytest

from messaging.contracts import PaymentAnomalyFound, WebhookReceived
from messaging.subscribers import NotReady, PartlyUnavailable
from payments.charges import services
from payments.gateway.protocol import Answer, Money, Outcome, TimedOut, Unreachable
from payments.models import PaymentIntent, WebhookEvent
from payments.webhooks import processing
from payments.webhooks.processing import WebhookDisputed, WebhookUnmatched
from tests.outbox import allowed_for_a_hundredfold, counting_statements, published
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows, webhook_statuses
from tests.payments.scenes import (
    NOON,
    charge_elsewhere,
    deliver,
    dues_of,
    payload_of,
    payment_requested,
    unopened_intent,
)

pytestmark = pytest.mark.django_db

KEPT = CaptureRow(4_500)


def collect(*payment_methods: str) -> list[PaymentIntent]:
    """Collect a payment by each of these methods, and return all payments as they are then, oldest first."""
    services.collect([payment_requested(payment_method=method) for method in payment_methods], now=NOON)
    return list(PaymentIntent.objects.order_by("pk"))


def webhook_ids() -> list[str]:
    return [str(pk) for pk in WebhookEvent.objects.order_by("pk").values_list("pk", flat=True)]


def process(*, parking_is_over: bool = False) -> list[str]:
    """Process the stored webhooks, and return the result of each, oldest first."""
    processed = processing.process(webhook_ids(), now=NOON, parking_is_over=parking_is_over)
    return [webhook.result for webhook in sorted(processed, key=lambda webhook: webhook.webhook.pk)]


class TestProcess:
    def test_applies_the_gateways_answer_once_and_not_the_claim(self, ledger):
        (intent,) = collect("tok_pending")
        deliver(payload_of(intent))

        assert [process(), process()] == [["applied"], []]

        intent.refresh_from_db()
        assert (intent.status, capture_rows(), webhook_statuses()) == ("processing", [], ["settled"])
        assert ledger.calls == {"charge": 1, "look_up": 1}

    @pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.CANCELLED])
    def test_makes_no_query_when_the_books_have_the_claim(self, ledger, outcome):
        (intent,) = collect("tok_visa")
        deliver(payload_of(intent, outcome))

        assert process() == ["already_known"]

        assert (ledger.calls, capture_rows(), webhook_statuses()) == ({"charge": 1}, [KEPT], ["settled"])

    @pytest.mark.parametrize("silence", [TimedOut(), Unreachable()], ids=["silent", "away"])
    def test_defers_those_that_the_gateway_did_not_answer(self, ledger, silence):
        for intent in collect("tok_pending", "tok_pending", "tok_pending"):
            ledger.approve(str(intent.pk))
            deliver(payload_of(intent))
        ledger.script.append(silence)

        with pytest.raises(PartlyUnavailable) as deferral:
            process()

        (unanswered,) = PaymentIntent.objects.filter(status="processing")
        assert list(deferral.value.keys) == [str(unanswered.order_id)]
        assert (sorted(webhook_statuses()), capture_rows()) == (["received", "settled", "settled"], [KEPT] * 2)

    def test_defers_those_for_an_operator_while_the_gateway_does_not_answer(self, ledger):
        silent, disputed = collect("tok_pending", "tok_pending")
        deliver(payload_of(silent), payload_of(disputed, claimed=Money(1, "GBP")))
        ledger.script.append(TimedOut())

        with pytest.raises(PartlyUnavailable) as deferral:
            process()

        assert sorted(deferral.value.keys) == sorted([str(silent.order_id), str(disputed.order_id)])
        assert webhook_statuses() == ["received", "received"]

    @pytest.mark.parametrize("claimed", [Money(4_499, "GBP"), Money(4_500, "USD")])
    def test_leaves_a_disputed_one_to_an_operator_once_and_processes_the_others(self, ledger, claimed):
        disputed, other = collect("tok_pending", "tok_pending")
        deliver(payload_of(disputed, event_id="evt_1", claimed=claimed), payload_of(other))

        for _ in range(2):
            with pytest.raises(WebhookDisputed):
                process()

        assert (webhook_statuses(), ledger.calls["look_up"]) == (["disputed", "settled"], 1)
        anomaly = {"anomaly": "disputed_webhook", "amount": claimed.amount, "currency": claimed.currency}
        assert published(PaymentAnomalyFound) == [
            PaymentAnomalyFound(order_id=str(disputed.order_id), detail="evt_1", number="K7Q4-M2X0", **anomaly)
        ]

    @pytest.mark.parametrize("end", [services.stop, services.settle_overdue])
    def test_withdraws_a_payment_that_its_order_no_longer_wants(self, ledger, end):
        (intent,) = collect("tok_pending")
        end(dues_of(intent), now=NOON)
        ledger.calls.clear()
        deliver(payload_of(intent, Outcome.PROCESSING))

        assert process() == ["applied"]

        intent.refresh_from_db()
        assert (intent.status, ledger.cancelled.keys(), ledger.calls) == ("cancelled", {str(intent.pk)}, {"cancel": 1})

    def test_defers_a_withdrawal_that_the_gateway_has_not_decided(self, ledger, monkeypatch):
        (intent,) = collect("tok_pending")
        services.stop(dues_of(intent), now=NOON)
        deliver(payload_of(intent, Outcome.PROCESSING))
        monkeypatch.setattr(ledger, "cancel", lambda _: Answer(outcome=Outcome.PROCESSING))

        with pytest.raises(NotReady):
            process()

    def test_looks_up_another_charge_for_the_order_by_its_own_key(self, ledger):
        (intent,) = collect("tok_pending")
        deliver(charge_elsewhere(ledger, intent))

        assert process() == ["applied"]

        intent.refresh_from_db()
        assert (intent.status, capture_rows()) == ("processing", [CaptureRow(4_500, surplus=True, returned=4_500)])
        assert refund_rows() == [RefundRow(4_500, "pending", "paid twice")]

    def test_parks_one_about_no_payment_of_ours_until_its_parking_is_over(self, ledger):
        (intent,) = collect("tok_pending")
        ledger.approve(str(intent.pk))
        deliver(payload_of(intent), payload_of(unopened_intent()))

        assert process() == ["applied", "parked"]
        assert webhook_statuses() == ["settled", "parked"]

        with pytest.raises(WebhookUnmatched):
            process(parking_is_over=True)
        assert [event.parking_is_over for event in published(WebhookReceived)] == [False, False, True]

    def test_takes_as_many_statements_for_two_hundred_as_for_two(self, ledger):
        counts = []
        for size in (2, 200):
            intents = collect(*["tok_pending"] * size)[-size:]
            for intent in intents:
                ledger.approve(str(intent.pk))
            deliver(*map(payload_of, intents))
            with counting_statements() as statements:
                process()
            counts.append(len(statements))

        assert counts[1] <= allowed_for_a_hundredfold(counts[0])
        assert capture_rows() == [KEPT] * 202
