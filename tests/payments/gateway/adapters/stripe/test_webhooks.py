import json
from typing import Any

import pytest
from stripe import WebhookSignature

from payments.gateway.adapters.stripe import StripeGateway
from payments.gateway.protocol import (
    Gateway,
    InvalidSignature,
    MalformedPayload,
    Money,
    Outcome,
    TimestampOutOfTolerance,
    WebhookPayload,
)
from tests.payments.gateway.adapters.stripe.scenes import NOW, OLD_SECRET, SECRET
from tests.payments.gateway.adapters.stripe.server import example_of


class TestReadWebhook:
    def webhook(self, *, kind: str = "succeeded", status: str = "succeeded", **changes: Any) -> dict[str, Any]:
        intent = example_of("payment_intent") | {"amount": 2500, "amount_received": 2500, "currency": "eur"}
        intent |= {"status": status, "metadata": {"payment": "pay-1", "order_id": "order-1"}} | changes
        return example_of("event") | {"type": f"payment_intent.{kind}", "data": {"object": intent}}

    def read(self, gateway: Gateway, event: Any, *, secret: str = SECRET, late: int = 0) -> WebhookPayload | None:
        body = event if isinstance(event, str) else json.dumps(event)
        header = WebhookSignature.generate_signature_header(body, secret, int(NOW.timestamp()) - late)
        return gateway.read_webhook(body.encode(), {"stripe-signature": header}, now=NOW)

    @pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
    def test_accepts_a_signature_by_any_secret(self, gateway, secret):
        payload = self.read(gateway, self.webhook(), secret=secret)

        assert payload == WebhookPayload(
            event_id="evt_3MtwBwLkdIwHu7ix28EvtSucc",
            fingerprint=payload.fingerprint,
            charge_key="pay-1",
            order_id="order-1",
            reference="pi_3MtwBwLkdIwHu7ix28a3tqPa",
            outcome=Outcome.SUCCEEDED,
            claimed=Money(2500, "EUR"),
        )

    @pytest.mark.parametrize(
        ("kind", "outcome"),
        [
            ("payment_failed", Outcome.DECLINED),
            ("canceled", Outcome.CANCELLED),
            *((kind, Outcome.PROCESSING) for kind in ("processing", "requires_action", "amount_capturable_updated")),
        ],
    )
    def test_maps_the_type_to_an_outcome(self, gateway, kind, outcome):
        payload = self.read(gateway, self.webhook(kind=kind, amount_received=0))

        assert (payload.outcome, payload.claimed) == (outcome, Money(2500, "EUR"))

    def test_has_the_same_fingerprint_for_the_same_claim(self, gateway):
        again = self.webhook() | {"pending_webhooks": 3}
        other = self.webhook(amount_received=2400)

        first, second, third = (self.read(gateway, event).fingerprint for event in (self.webhook(), again, other))
        assert first == second != third

    def test_keys_another_charge_for_our_order_by_its_id(self, gateway):
        payload = self.read(gateway, self.webhook(metadata={"order_id": "order-1"}))

        assert (payload.charge_key, payload.order_id) == ("pi_3MtwBwLkdIwHu7ix28a3tqPa", "order-1")

    def test_ignores_charges_of_another_program_with_the_account(self, gateway):
        assert self.read(gateway, self.webhook(metadata={"invoice": "17"})) is None

    @pytest.mark.parametrize("kind", ["charge.refunded", "payment_intent.created", "payment_intent", "account.updated"])
    def test_ignores_other_events(self, gateway, kind):
        assert self.read(gateway, example_of("event") | {"type": kind}) is None

    @pytest.mark.parametrize(
        "header",
        [None, "", "t=", "t=1772366400", "v1=00", "t=x,v1=00", "t=1772366400,v1=é", "=,=", "t=1772366400,v0=00", "t"],
    )
    def test_rejects_an_unsigned_webhook(self, gateway, header):
        with pytest.raises(InvalidSignature):
            gateway.read_webhook(b"{}", {} if header is None else {"stripe-signature": header}, now=NOW)

    def test_rejects_another_secret_or_body(self, gateway, configure_stripe):
        header = WebhookSignature.generate_signature_header("{}", SECRET, int(NOW.timestamp()))

        with pytest.raises(InvalidSignature):
            self.read(gateway, self.webhook(), secret="whsec_other")
        for body in (b"{ }", b"\xff{}", b""):
            with pytest.raises(InvalidSignature):
                gateway.read_webhook(body, {"stripe-signature": header}, now=NOW)

    def test_accepts_no_empty_secret(self, configure_stripe):
        configure_stripe(webhook_secrets=("", " "))

        with pytest.raises(InvalidSignature):
            self.read(StripeGateway(), self.webhook(), secret=" ")

    def test_rejects_a_replay_with_a_forged_time(self, gateway):
        body = json.dumps(self.webhook())
        moment, signature = WebhookSignature.generate_signature_header(body, SECRET, 1_700_000_000).split(",")

        for header in (f"{moment}=1,{signature}", f"{moment},t={int(NOW.timestamp())},{signature}"):
            with pytest.raises(TimestampOutOfTolerance):
                gateway.read_webhook(body.encode(), {"stripe-signature": header}, now=NOW)

    @pytest.mark.parametrize("sign", [-1, 1])
    def test_accepts_a_signature_up_to_five_minutes_old_or_ahead(self, gateway, sign):
        assert self.read(gateway, self.webhook(), late=sign * 300)
        for late in (301, 10**9):
            with pytest.raises(TimestampOutOfTolerance):
                self.read(gateway, self.webhook(), late=sign * late)

    @pytest.mark.parametrize(
        "event",
        [
            *("", "null", "[]", "{}", "7", "{", "[" * 100_000, '{"type": 7}', '{"type": ["payment_intent.succeeded"]}'),
            {"type": "payment_intent.succeeded"},
            {"type": "payment_intent.succeeded", "id": "evt_1", "data": {"object": "pi_1"}},
        ],
    )
    def test_rejects_a_malformed_body(self, gateway, event):
        with pytest.raises(MalformedPayload):
            self.read(gateway, event)

    @pytest.mark.parametrize(
        "wrong",
        [
            *({"id": 7}, {"id": None}, {"amount_received": "2500"}, {"amount_received": True}, {"currency": None}),
            *({"amount_received": 25.5}, {"metadata": None}, {"metadata": {"payment": 7}}, {"status": None}),
            *({"metadata": {"payment": text}} for text in ("\ud800", "x" * 101, "nul\0")),
            *({"amount_received": 2**63}, {"amount_received": -1}),
        ],
    )
    def test_rejects_a_malformed_charge(self, gateway, wrong):
        with pytest.raises(MalformedPayload):
            self.read(gateway, self.webhook(**wrong))
