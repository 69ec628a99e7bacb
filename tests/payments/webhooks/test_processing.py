import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings
from standardwebhooks import Webhook

from messaging import contracts
from messaging.subscribers import PartlyUnavailable
from payments.charges import services
from payments.gateway.adapters.simulated import SimulatedGateway
from payments.gateway.protocol import InvalidSignature, Money, Outcome, TimedOut, TimestampOutOfTolerance, Unreachable
from payments.models import PaymentIntent, WebhookEvent
from payments.webhooks import inbox, processing
from payments.webhooks.processing import WebhookUnmatched
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published
from tests.payments.scenes import NOON, captured, charge_elsewhere, deliver, given_back, payload_of, payment_requested

pytestmark = pytest.mark.django_db

KEPT = (4_500, "GBP", "", 0)


def pay(*methods: str) -> list[PaymentIntent]:
    """
    Ask for so many payments, and return them as they are then.
    """
    services.collect([payment_requested(payment_method=method) for method in methods], now=NOON)
    return list(PaymentIntent.objects.order_by("pk"))


def stored() -> list[str]:
    return [str(pk) for pk in WebhookEvent.objects.order_by("pk").values_list("pk", flat=True)]


def statuses() -> list[str]:
    return list(WebhookEvent.objects.order_by("pk").values_list("status", flat=True))


class TestReceive:
    def test_stores_what_is_claimed_and_announces_it(self, ledger):
        (intent,) = pay("tok_pending")
        claim = payload_of(intent, event_id="evt_1")

        deliver(ledger, claim)

        webhook = WebhookEvent.objects.get()
        kept = (webhook.event_id, bytes(webhook.body), webhook.charge_key, webhook.order_id, webhook.reference)
        assert kept == ("evt_1", b"evt_1", str(intent.pk), intent.order_id, f"instant-{intent.pk}")
        assert (webhook.outcome, webhook.amount, webhook.currency) == ("succeeded", 4_500, "GBP")
        assert (webhook.status, webhook.received_at, webhook.settled_at) == ("received", NOON, None)
        assert published(contracts.WebhookReceived) == [
            contracts.WebhookReceived(story=str(intent.order_id), webhook_id=str(webhook.pk))
        ]

    def test_takes_a_reference_to_no_order_of_ours_as_it_is(self, ledger):
        (intent,) = pay("tok_pending")

        deliver(ledger, payload_of(intent, order_id="order-1", charge_key="pi_1"))

        assert WebhookEvent.objects.values_list("order_id", "charge_key").get() == (None, "pi_1")
        assert [event.key for event in published(contracts.WebhookReceived)] == ["pi_1"]

    def test_keeps_nothing_that_payments_does_not_care_for(self, ledger, monkeypatch):
        monkeypatch.setattr(ledger, "read_webhook", lambda body, headers, *, now: None)

        inbox.receive(b"a customer was born", {}, now=NOON)

        assert (stored(), announced()) == ([], {})


class TestSettle:
    def test_asks_the_gateway_and_believes_nothing_else(self, ledger):
        (intent,) = pay("tok_pending")
        deliver(ledger, payload_of(intent))

        processing.process(stored(), now=NOON)

        intent.refresh_from_db()
        assert (intent.status, captured(), statuses()) == ("processing", [], ["settled"])
        assert ledger.calls == {"charge": 1, "look_up": 1}

    def test_settles_each_once(self, ledger):
        (intent,) = pay("tok_pending")
        ledger.approve(str(intent.pk))
        deliver(ledger, payload_of(intent))

        processing.process(stored(), now=NOON)
        processing.process(stored(), now=NOON)

        assert (captured(), statuses(), ledger.calls["look_up"]) == ([KEPT], ["settled"], 1)

    @pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.DECLINED, Outcome.CANCELLED])
    def test_asks_nobody_what_is_known(self, ledger, outcome):
        (intent,) = pay("tok_visa")
        deliver(ledger, payload_of(intent, outcome))

        processing.process(stored(), now=NOON)

        assert (ledger.calls, captured(), statuses()) == ({"charge": 1}, [KEPT], ["settled"])

    @pytest.mark.parametrize("silence", [TimedOut(), Unreachable()], ids=["silent", "away"])
    def test_comes_back_to_those_that_the_gateway_did_not_answer(self, ledger, silence):
        for intent in pay("tok_pending", "tok_pending", "tok_pending"):
            ledger.approve(str(intent.pk))
            deliver(ledger, payload_of(intent))
        ledger.script.append(silence)

        with pytest.raises(PartlyUnavailable) as unanswered:
            processing.process(stored(), now=NOON)

        (open_one,) = PaymentIntent.objects.filter(status="processing")
        assert list(unanswered.value.keys) == [str(open_one.order_id)]
        assert (sorted(statuses()), captured()) == (["received", "settled", "settled"], [KEPT] * 2)

    def test_lets_what_is_for_a_person_wait_while_the_gateway_is_silent(self, ledger):
        silent, disputed = pay("tok_pending", "tok_pending")
        deliver(ledger, payload_of(silent), payload_of(disputed, claimed=Money(1, "GBP")))
        ledger.script.append(TimedOut())

        with pytest.raises(PartlyUnavailable) as unanswered:
            processing.process(stored(), now=NOON)

        assert sorted(unanswered.value.keys) == sorted([str(silent.order_id), str(disputed.order_id)])
        assert statuses() == ["received", "received"]

    def test_withdraws_what_its_order_no_longer_wants(self, ledger):
        (intent,) = pay("tok_pending")
        services.stop({str(intent.order_id): services.Due(4_500, "GBP", "17")}, now=NOON)
        deliver(ledger, payload_of(intent, Outcome.PROCESSING))

        processing.process(stored(), now=NOON)

        intent.refresh_from_db()
        assert (intent.status, ledger.cancelled) == ("cancelled", {str(intent.pk)})

    def test_looks_up_another_charge_of_the_order_by_its_own_key(self, ledger):
        (intent,) = pay("tok_visa")
        deliver(ledger, charge_elsewhere(ledger, intent))

        processing.process(stored(), now=NOON)

        assert captured() == [KEPT, (4_500, "GBP", "surplus", 4_500)]
        assert given_back() == [(4_500, "pending", "paid twice")]

    def test_says_which_mean_no_payment_only_when_their_parking_is_over(self, ledger):
        (intent,) = pay("tok_pending")
        ledger.approve(str(intent.pk))
        stranger = PaymentIntent(order_id=intent.pk, amount=1, currency="GBP")
        deliver(ledger, payload_of(intent), payload_of(stranger))

        processing.process(stored(), now=NOON)
        assert statuses() == ["settled", "parked"]

        with pytest.raises(WebhookUnmatched):
            processing.process(stored(), now=NOON, parking_is_over=True)
        assert [it.parking_is_over for it in published(contracts.WebhookReceived)] == [False, False, True]

    def test_costs_as_many_statements_for_two_hundred_as_for_two(self, ledger):
        counts = []
        for size in (2, 200):
            intents = pay(*["tok_pending"] * size)[-size:]
            for intent in intents:
                ledger.approve(str(intent.pk))
            deliver(ledger, *map(payload_of, intents))
            with counting_statements() as statements:
                processing.process(stored()[-size:], now=NOON)
            counts.append(len(statements))

        assert counts[1] <= allowed_for_a_hundredfold(counts[0])
        assert captured() == [KEPT] * 202


class TestF18WordsThatAreNotTheGateways:
    """
    The number is that of the list of failures that other systems had.
    """

    BODY = json.dumps(
        {
            "type": "charge.succeeded",
            "data": {
                "key": "key-1",
                "reference": "ch_1",
                "order_id": "",
                "status": "succeeded",
                "amount": 4_500,
                "currency": "GBP",
            },
        }
    ).encode()

    @pytest.fixture(autouse=True)
    def _signed_gateway(self, monkeypatch):
        gateway = SimulatedGateway("http://127.0.0.1:1")
        monkeypatch.setattr("payments.gateway.protocol.current", lambda: gateway)

    def signed(self, *, body: bytes = BODY) -> dict[str, str]:
        signature = Webhook(settings.PAYMENTS.webhook_secrets[0]).sign("evt_1", NOON, body.decode())
        timestamp = str(int(NOON.timestamp()))
        return {"webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": signature}

    def test_are_taken_once_when_they_are(self):
        for _ in range(2):
            inbox.receive(self.BODY, self.signed(), now=NOON)

        assert statuses() == ["received"]
        assert bytes(WebhookEvent.objects.get().body) == self.BODY

    @pytest.mark.parametrize("days", [-1, 1])
    def test_are_refused_days_later_and_days_before(self, days):
        with pytest.raises(TimestampOutOfTolerance):
            inbox.receive(self.BODY, self.signed(), now=NOON + timedelta(days=days))

        assert statuses() == []

    @pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_are_refused_without(self, header):
        headers = {name: value for name, value in self.signed().items() if name != header}

        with pytest.raises(InvalidSignature):
            inbox.receive(self.BODY, headers, now=NOON)

        assert statuses() == []

    def test_are_refused_when_somebody_has_written_the_same_anew(self):
        again = json.dumps(json.loads(self.BODY), indent=1).encode()

        with pytest.raises(InvalidSignature):
            inbox.receive(again, self.signed(), now=NOON)

        assert statuses() == []

    def test_are_refused_when_another_secret_has_signed_them(self, settings):
        headers = self.signed()
        settings.PAYMENTS = replace(settings.PAYMENTS, webhook_secrets=("whsec_" + "b3RoZXI" * 4 + "b3RoZXI=",))

        with pytest.raises(InvalidSignature):
            inbox.receive(self.BODY, headers, now=NOON)

        assert statuses() == []
