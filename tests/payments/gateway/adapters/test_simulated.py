"""
The adapter over HTTP, and the webhooks that it reads; what the API answers to those is in tests/bad_input.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from operator import attrgetter

import pytest

from payments.gateway.calls import call_all
from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    InvalidSignature,
    Money,
    Outcome,
    RefundRequest,
    StatementEntry,
    TimedOut,
    TimestampOutOfTolerance,
    Unreachable,
    WebhookPayload,
)
from tests.payments.gateway.adapters.scripted_server import Asked, answering, hanging_up
from tests.webhooks import DATA, event, signed

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
CHARGE = ChargeRequest(
    idempotency_key="key-1", order_id="order-1", amount=4_500, currency="GBP", payment_method="tok_visa", reference="c"
)
REPAYMENT = RefundRequest(idempotency_key="key-2", charge_reference="ch_1", amount=500, currency="GBP")


def charge_named(key: str) -> ChargeRequest:
    return ChargeRequest(idempotency_key=key, order_id="o", amount=1, currency="GBP", payment_method="tok_visa")


class TestCharge:
    def test_sends_what_is_to_be_paid_under_its_key(self, gateway, server):
        gateway.charge(CHARGE)

        asked = {"amount": 4_500, "currency": "GBP", "payment_method": "tok_visa", "order_id": "order-1"}
        assert server.asked == [Asked("POST", "/v1/charges", "key-1", asked)]

    @pytest.mark.parametrize(
        ("status", "state", "answer"),
        [
            (200, {}, Answer(outcome=Outcome.SUCCEEDED)),
            (
                200,
                {"reference": "ch_1", "captured": {"amount": 4_400, "currency": "USD"}, "livemode": False},
                Answer(outcome=Outcome.SUCCEEDED, reference="ch_1", captured=Money(4_400, "USD")),
            ),
            (
                202,
                {
                    "status": "processing",
                    "reference": "ch_1",
                    "page": "https://bank.example/3ds?id=1",
                    "captured": None,
                },
                Answer(outcome=Outcome.PROCESSING, reference="ch_1", page="https://bank.example/3ds?id=1"),
            ),
            (
                200,
                {"status": "declined", "reference": "ch_1", "reason": "card_declined"},
                Answer(outcome=Outcome.DECLINED, reference="ch_1", reason="card_declined"),
            ),
            (200, {"status": "cancelled"}, Answer(outcome=Outcome.CANCELLED)),
            (200, {"reason": "gesperrt für heute"}, Answer(outcome=Outcome.SUCCEEDED, reason="gesperrt für heute")),
        ],
    )
    def test_is_answered_what_became_of_it(self, gateway, server, status, state, answer):
        server.script.append(answering(status, **{"status": "succeeded"} | state))

        assert gateway.charge(CHARGE) == answer


class TestLookUp:
    def test_asks_by_the_key(self, gateway, server):
        answer = gateway.look_up(CHARGE)

        assert answer == Answer(outcome=Outcome.SUCCEEDED)
        assert server.asked == [Asked("GET", "/v1/charges/key-1")]

    def test_tells_that_the_gateway_never_heard_of_it(self, gateway, server):
        server.script.append(answering(404, error="not found"))

        assert gateway.look_up(CHARGE) == Answer(outcome=Outcome.ABSENT)

    @pytest.mark.parametrize(
        ("key", "step"),
        [
            ("a/b", "a%2Fb"),
            ("a b?c#d", "a%20b%3Fc%23d"),
            ("..", "%2E%2E"),
            (".", "%2E"),
            ("../../admin", "%2E%2E%2F%2E%2E%2Fadmin"),
            ("%2F", "%252F"),
            ("clé", "cl%C3%A9"),
            ("a\r\nHost: x", "a%0D%0AHost%3A%20x"),
            ("@evil.example", "%40evil%2Eexample"),
        ],
    )
    def test_asks_for_nothing_else_whatever_the_key_is(self, gateway, server, key, step):
        gateway.look_up(charge_named(key))

        assert [asked.path for asked in server.asked] == [f"/v1/charges/{step}"]


class TestCancel:
    def test_asks_for_that_by_the_key(self, gateway, server):
        server.script.append(answering(status="cancelled"))

        assert gateway.cancel(CHARGE) == Answer(outcome=Outcome.CANCELLED)
        assert server.asked == [Asked("POST", "/v1/charges/key-1/cancel")]


class TestRefund:
    def test_sends_what_is_to_go_back_under_its_key(self, gateway, server):
        server.script.append(answering(status="succeeded", reference="re_1"))

        assert gateway.refund(REPAYMENT) == Answer(outcome=Outcome.SUCCEEDED, reference="re_1")
        asked = {"amount": 500, "currency": "GBP"}
        assert server.asked == [Asked("POST", "/v1/charges/ch_1/refunds", "key-2", asked)]

    def test_is_declined_with_the_reason(self, gateway, server):
        server.script.append(answering(status="declined", reason="too_late"))

        assert gateway.refund(REPAYMENT) == Answer(outcome=Outcome.DECLINED, reason="too_late")


class TestStatement:
    def test_lists_what_was_captured_and_went_back(self, gateway, server):
        movement = {
            "charge_key": "key-1",
            "reference": "ch_1",
            "order_id": "order-1",
            "amount": 4_500,
            "currency": "GBP",
            "captured_at": "2030-06-01T12:00:00Z",
            "refunds": [{"key": "key-2", "amount": 500}, {"key": "key-3", "amount": 4_000}],
        }
        never_refunded = movement | {"charge_key": "key-4", "captured_at": "2030-06-01T14:00:00+02:00", "refunds": []}
        server.script.append(answering(captures=[movement, never_refunded]))

        bookings = list(gateway.statement(NOON))

        known = {"order_id": "order-1", "reference": "ch_1", "captured": Money(4_500, "GBP"), "captured_at": NOON}
        assert bookings == [
            StatementEntry(charge_key="key-1", refunds={"key-2": 500, "key-3": 4_000}, **known),
            StatementEntry(charge_key="key-4", refunds={}, **known),
        ]

    @pytest.mark.parametrize(("since", "query"), [(None, ""), (NOON, "?since=2030-06-01T12%3A00%3A00%2B00%3A00")])
    def test_is_asked_for_since_a_moment_or_for_ever(self, gateway, server, since, query):
        server.script.append(answering(captures=[]))

        assert list(gateway.statement(since)) == []
        assert server.asked == [Asked("GET", f"/v1/statement{query}")]

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, b""),
            (202, b'{"captures": []}'),
            (200, b"{}"),
            (200, b'{"captures": [{}]}'),
            (200, b'{"captures": null}'),
            (200, b"<html>"),
        ],
    )
    def test_times_out_when_there_is_none(self, gateway, server, status, body):
        server.script.append(answering(status, raw=body))

        with pytest.raises(TimedOut):
            gateway.statement(NOON)


class TestReadWebhook:
    def test_tells_what_it_claims(self, gateway):
        headers = signed(event(), event_id="evt_7", at=NOON)

        claim = gateway.read_webhook(event(), headers, now=NOON)

        assert claim == WebhookPayload(
            event_id="evt_7",
            fingerprint=sha256(event()).hexdigest(),
            charge_key=DATA["key"],
            order_id=DATA["order_id"],
            reference="ch_1",
            outcome=Outcome.SUCCEEDED,
            claimed=Money(4_500, "GBP"),
        )

    @pytest.mark.parametrize("seconds", [-300, 300])
    def test_takes_one_of_five_minutes_ago_or_ahead(self, gateway, seconds):
        headers = signed(event(), at=NOON + timedelta(seconds=seconds))

        assert gateway.read_webhook(event(), headers, now=NOON)

    @pytest.mark.parametrize("seconds", [-301, 301])
    def test_takes_none_of_longer_ago_or_further_ahead(self, gateway, seconds):
        headers = signed(event(), at=NOON + timedelta(seconds=seconds))

        with pytest.raises(TimestampOutOfTolerance):
            gateway.read_webhook(event(), headers, now=NOON)

    def test_does_not_tell_a_stranger_that_he_is_late(self, gateway):
        with pytest.raises(InvalidSignature):
            gateway.read_webhook(event() + b" ", signed(event(), at=NOON), now=NOON + timedelta(days=1))

    def test_cannot_be_cut_elsewhere_than_where_it_was_signed(self, gateway):
        whole = signed(event(), event_id="evt_1", at=NOON)
        now, later = whole["webhook-timestamp"], str(int(whole["webhook-timestamp"]) + 1)
        cut = signed(f"{later}.".encode() + event(), event_id="evt_1", timestamp=now)
        elsewhere = cut | {"webhook-id": f"evt_1.{now}", "webhook-timestamp": later}

        with pytest.raises(InvalidSignature):
            gateway.read_webhook(event(), elsewhere, now=NOON)


class TestConnections:
    def test_are_used_again_by_as_many_calls_as_are_made_at_once(self, gateway, server, settings):
        settings.MESSAGING = replace(settings.MESSAGING, outside_calls_at_once=64)
        charges = [charge_named(f"key-{number}") for number in range(64)]

        replies = [reply for _ in range(4) for reply in call_all(gateway.look_up, charges, key=attrgetter("order_id"))]

        assert replies == [Answer(outcome=Outcome.SUCCEEDED)] * 256
        assert len(server.asked) == 256
        assert len(server.connections) <= 64

    def test_survive_answers_that_are_no_success(self, gateway, server):
        server.script.extend([answering(404), answering(503), answering(raw=b"?"), answering(status="cancelled")])

        replies = [reply for _ in range(4) for reply in call_all(gateway.look_up, [CHARGE], key=attrgetter("order_id"))]

        assert [type(reply) for reply in replies] == [Answer, Unreachable, TimedOut, Answer]
        assert len(server.connections) == 1

    def test_are_made_anew_when_the_gateway_has_closed_them(self, gateway, server):
        server.script.extend([hanging_up(), answering(status="cancelled")])

        replies = [reply for _ in range(2) for reply in call_all(gateway.look_up, [CHARGE], key=attrgetter("order_id"))]

        assert [type(reply) for reply in replies] == [TimedOut, Answer]
