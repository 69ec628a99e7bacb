"""
The adapter to the simulator over HTTP, and the webhooks that it reads; the API rejects others in tests/bad_input.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import pytest

from payments.gateway.adapters.simulated import SimulatedGateway
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
)
from tests.payments.gateway.adapters.scripted_server import RecordedRequest, disconnecting, responding
from tests.webhooks import event, signed

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
CHARGE = ChargeRequest(
    idempotency_key="key-1", order_id="order-1", amount=4_500, currency="GBP", payment_method="tok_visa", reference="c"
)
REFUND = RefundRequest(idempotency_key="key-2", charge_reference="ch_1", amount=500, currency="GBP")


def charge_named(key: str) -> ChargeRequest:
    return ChargeRequest(idempotency_key=key, order_id="o", amount=1, currency="GBP", payment_method="tok_visa")


class TestCharge:
    def test_sends_the_amount_with_its_key(self, gateway, server):
        gateway.charge(CHARGE)

        body = {"amount": 4_500, "currency": "GBP", "payment_method": "tok_visa", "order_id": "order-1"}
        assert server.requests == [RecordedRequest("POST", "/v1/charges", "key-1", body)]

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
    def test_returns_the_state_of_the_charge(self, gateway, server, status, state, answer):
        server.script.append(responding(status, **{"status": "succeeded"} | state))

        assert gateway.charge(CHARGE) == answer


class TestLookUp:
    def test_requests_a_charge_by_its_key(self, gateway, server):
        answer = gateway.look_up(CHARGE)

        assert answer == Answer(outcome=Outcome.SUCCEEDED)
        assert server.requests == [RecordedRequest("GET", "/v1/charges/key-1")]

    def test_returns_that_the_gateway_has_no_record(self, gateway, server):
        server.script.append(responding(404, error="not found"))

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
    def test_quotes_the_key_in_the_path(self, gateway, server, key, step):
        gateway.look_up(charge_named(key))

        assert [request.path for request in server.requests] == [f"/v1/charges/{step}"]


class TestCancel:
    def test_cancels_a_charge_by_its_key(self, gateway, server):
        server.script.append(responding(status="cancelled"))

        assert gateway.cancel(CHARGE) == Answer(outcome=Outcome.CANCELLED)
        assert server.requests == [RecordedRequest("POST", "/v1/charges/key-1/cancel")]


class TestRefund:
    def test_sends_the_amount_with_its_key(self, gateway, server):
        server.script.append(responding(status="succeeded", reference="re_1"))

        assert gateway.refund(REFUND) == Answer(outcome=Outcome.SUCCEEDED, reference="re_1")
        body = {"amount": 500, "currency": "GBP"}
        assert server.requests == [RecordedRequest("POST", "/v1/charges/ch_1/refunds", "key-2", body)]

    def test_returns_the_reason_for_declining(self, gateway, server):
        server.script.append(responding(status="declined", reason="too_late"))

        assert gateway.refund(REFUND) == Answer(outcome=Outcome.DECLINED, reason="too_late")


class TestStatement:
    def test_returns_captures_and_refunds(self, gateway, server):
        entry = {
            "charge_key": "key-1",
            "reference": "ch_1",
            "order_id": "order-1",
            "amount": 4_500,
            "currency": "GBP",
            "captured_at": "2030-06-01T12:00:00Z",
            "refunds": [{"key": "key-2", "amount": 500}, {"key": "key-3", "amount": 4_000}],
        }
        never_refunded = entry | {"charge_key": "key-4", "captured_at": "2030-06-01T14:00:00+02:00", "refunds": []}
        server.script.append(responding(captures=[entry, never_refunded]))

        entries = list(gateway.statement(NOON))

        common = {"order_id": "order-1", "reference": "ch_1", "captured": Money(4_500, "GBP"), "captured_at": NOON}
        assert entries == [
            StatementEntry(charge_key="key-1", refunds={"key-2": 500, "key-3": 4_000}, **common),
            StatementEntry(charge_key="key-4", refunds={}, **common),
        ]

    @pytest.mark.parametrize(("since", "query"), [(None, ""), (NOON, "?since=2030-06-01T12%3A00%3A00%2B00%3A00")])
    def test_is_requested_since_a_moment_or_entirely(self, gateway, server, since, query):
        server.script.append(responding(captures=[]))

        assert list(gateway.statement(since)) == []
        assert server.requests == [RecordedRequest("GET", f"/v1/statement{query}")]

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
    def test_times_out_when_it_cannot_be_read(self, gateway, server, status, body):
        server.script.append(responding(status, raw=body))

        with pytest.raises(TimedOut):
            gateway.statement(NOON)


class TestReadWebhook:
    @pytest.mark.parametrize("seconds", [-300, 300])
    def test_accepts_a_signature_up_to_five_minutes_old_or_ahead(self, gateway, seconds):
        headers = signed(event(), at=NOON + timedelta(seconds=seconds))

        assert gateway.read_webhook(event(), headers, now=NOON)

    @pytest.mark.parametrize("seconds", [-301, 301])
    def test_rejects_an_older_one_or_one_further_ahead(self, gateway, seconds):
        headers = signed(event(), at=NOON + timedelta(seconds=seconds))

        with pytest.raises(TimestampOutOfTolerance):
            gateway.read_webhook(event(), headers, now=NOON)

    def test_checks_the_signature_before_the_time(self, gateway):
        with pytest.raises(InvalidSignature):
            gateway.read_webhook(event() + b" ", signed(event(), at=NOON), now=NOON + timedelta(days=1))

    def test_rejects_a_signed_text_that_is_split_elsewhere(self, gateway):
        whole = signed(event(), event_id="evt_1", at=NOON)
        now, later = whole["webhook-timestamp"], str(int(whole["webhook-timestamp"]) + 1)
        cut = signed(f"{later}.".encode() + event(), event_id="evt_1", timestamp=now)
        elsewhere = cut | {"webhook-id": f"evt_1.{now}", "webhook-timestamp": later}

        with pytest.raises(InvalidSignature):
            gateway.read_webhook(event(), elsewhere, now=NOON)


class TestConnections:
    def look_up(self, gateway: SimulatedGateway, *charges: ChargeRequest, times: int) -> list[type]:
        key = attrgetter("order_id")
        return [type(reply) for _ in range(times) for reply in call_all(gateway.look_up, charges, key=key)]

    def test_are_reused_by_concurrent_calls(self, gateway, server, settings):
        settings.MESSAGING = replace(settings.MESSAGING, outside_calls_at_once=64)
        charges = [charge_named(f"key-{number}") for number in range(64)]

        assert self.look_up(gateway, *charges, times=4) == [Answer] * 256
        assert len(server.requests) == 256
        assert len(server.connections) <= 64

    def test_are_kept_after_errors(self, gateway, server):
        server.script.extend([responding(404), responding(503), responding(raw=b"?"), responding(status="cancelled")])

        assert self.look_up(gateway, CHARGE, times=4) == [Answer, Unreachable, TimedOut, Answer]
        assert len(server.connections) == 1

    def test_are_replaced_when_the_gateway_has_closed_them(self, gateway, server):
        server.script.extend([disconnecting(), responding(status="cancelled")])

        assert self.look_up(gateway, CHARGE, times=2) == [TimedOut, Answer]
