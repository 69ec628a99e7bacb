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
from tests.payments.scripted_server import RecordedRequest, disconnecting, responding
from tests.webhooks import event, signed

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
CHARGE = ChargeRequest(
    idempotency_key="key-1", order_id="order-1", amount=4_500, currency="GBP", payment_method="tok_visa", reference="c"
)
REFUND = RefundRequest(idempotency_key="key-2", charge_reference="ch_1", amount=500, currency="GBP")
CHARGE_BODY = {"amount": 4_500, "currency": "GBP", "payment_method": "tok_visa", "order_id": "order-1"}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
REFUND_BODY = {"amount": 500, "currency": "GBP"}


class TestCall:
    @pytest.mark.parametrize(
        ("method", "argument", "request_"),
        [
            ("charge", CHARGE, RecordedRequest("POST", "/v1/charges", "key-1", CHARGE_BODY)),
            ("look_up", CHARGE, RecordedRequest("GET", "/v1/charges/key-1")),
            ("cancel", CHARGE, RecordedRequest("POST", "/v1/charges/key-1/cancel")),
            ("refund", REFUND, RecordedRequest("POST", "/v1/charges/ch_1/refunds", "key-2", REFUND_BODY)),
        ],
    )
    def test_sends_its_request_and_returns_the_answer(self, gateway, server, method, argument, request_):
        server.script.append(responding(status="declined", reference="ch_2", reason="too_late"))

        answer = getattr(gateway, method)(argument)

        assert answer == Answer(outcome=Outcome.DECLINED, reference="ch_2", reason="too_late")
        assert server.requests == [request_]

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
                {"status": "processing", "reference": "ch_1", "page": "https://bank.example/?id=1", "captured": None},
                Answer(outcome=Outcome.PROCESSING, reference="ch_1", page="https://bank.example/?id=1"),
            ),
            (200, {"status": "cancelled"}, Answer(outcome=Outcome.CANCELLED)),
            (200, {"reason": "gesperrt für heute"}, Answer(outcome=Outcome.SUCCEEDED, reason="gesperrt für heute")),
            (404, {"error": "not found"}, Answer(outcome=Outcome.ABSENT)),
        ],
    )
    def test_reads_the_state_of_a_charge(self, gateway, server, status, state, answer):
        server.script.append(responding(status, **{"status": "succeeded"} | state))

        assert gateway.look_up(CHARGE) == answer

    @pytest.mark.parametrize(
        ("key", "segment"),
        [
            ("a b?c#d", "a%20b%3Fc%23d"),
            (".", "%2E"),
            ("../../admin", "%2E%2E%2F%2E%2E%2Fadmin"),
            ("%2F", "%252F"),
            ("clé", "cl%C3%A9"),
            ("a\r\nHost: x", "a%0D%0AHost%3A%20x"),
            ("@evil.example", "%40evil%2Eexample"),
        ],
    )
    def test_quotes_the_key_in_the_path(self, gateway, server, key, segment):
        gateway.look_up(replace(CHARGE, idempotency_key=key))

        assert [request.path for request in server.requests] == [f"/v1/charges/{segment}"]


class TestCallWithoutAnAnswer:
    """
    Whether the money may have moved when there is no answer, or a wrong one.
    """

    @pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 403, 409, 410, 413, 422, 500, 502, 504])
    def test_times_out_on_a_status_that_does_not_say_whether_money_moved(self, gateway, server, status):
        server.script.append(responding(status, raw=b"", location="/v1/elsewhere"))

        with pytest.raises(TimedOut, match=f"answered {status}"):
            gateway.charge(CHARGE)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("status", [429, 503])
    def test_is_unreachable_when_the_request_was_rejected(self, gateway, server, status):
        server.script.append(responding(status, status="succeeded"))

        with pytest.raises(Unreachable, match=str(status)):
            gateway.charge(CHARGE)

    def test_is_unreachable_when_the_connection_is_refused(self, gateway, server):
        server.stop()

        with pytest.raises(Unreachable, match="cannot be reached"):
            gateway.charge(CHARGE)
        assert server.requests == []

    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.", HEAD, HEAD + b'{"status": "succ', b"+OK POP3\r\n\r\n"])
    def test_times_out_when_the_connection_ends_before_the_answer(self, gateway, server, sent):
        server.script.append(disconnecting(after=sent))

        with pytest.raises(TimedOut, match="did not answer"):
            gateway.charge(CHARGE)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.", HEAD + b'{"status": "succ'])
    def test_times_out_when_the_answer_takes_too_long(self, server, settings, sent):
        settings.PAYMENTS = replace(settings.PAYMENTS, simulator_url=server.url, timeout_seconds=0.05)
        server.script.append(disconnecting(after=sent, late=True))

        with pytest.raises(TimedOut, match="did not answer"):
            SimulatedGateway().charge(CHARGE)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"OK", b"<html>", b"{}", b"[]", b"null", b"\xff"),
            b'{"status": "succeeded"',
            b'{"status": "paid"}',
            b'{"status": null}',
            b'{"status": "succeeded", "reference": "\\u0000"}',
            b'{"status": "succeeded", "reference": "%s"}' % (b"r" * 101),
            b'{"status": "declined", "reason": "%s"}' % (b"r" * 101),
            b'{"status": "declined", "reason": "\\u0000"}',
            b'{"status": "declined", "reason": "\\ud800"}',
            b'{"status": "declined", "reason": "\xed\xa0\x80"}',
            b'{"status": "processing", "page": "javascript:alert(1)"}',
            b'{"status": "processing", "page": "https://bank.example/%s"}' % (b"p" * 500),
            b'{"status": "succeeded", "captured": {"amount": 0, "currency": "GBP"}}',
            b'{"status": "succeeded", "captured": {"amount": -1, "currency": "GBP"}}',
            b'{"status": "succeeded", "captured": {"amount": 45.0, "currency": "GBP"}}',
            b'{"status": "succeeded", "captured": {"amount": 9223372036854775808, "currency": "GBP"}}',
            b'{"status": "succeeded", "captured": {"amount": 4500, "currency": "pounds"}}',
            b'{"status": "succeeded", "captured": {"amount": 4500}}',
            b'{"status": "succeeded", "x": ' + b"[" * 9_000 + b"]" * 9_000 + b"}",
        ],
    )
    def test_times_out_when_the_answer_cannot_be_read(self, gateway, server, body):
        server.script.append(responding(raw=body))

        with pytest.raises(TimedOut, match="cannot be read"):
            gateway.charge(CHARGE)


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

        entries = list(gateway.statement(None))

        common = {"order_id": "order-1", "reference": "ch_1", "captured": Money(4_500, "GBP"), "captured_at": NOON}
        assert entries == [
            StatementEntry(charge_key="key-1", refunds={"key-2": 500, "key-3": 4_000}, **common),
            StatementEntry(charge_key="key-4", refunds={}, **common),
        ]

    def test_is_requested_entirely_or_since_a_moment(self, gateway, server):
        server.script.extend([responding(captures=[])] * 2)

        assert [list(gateway.statement(since)) for since in (None, NOON)] == [[], []]
        paths = ["/v1/statement", "/v1/statement?since=2030-06-01T12%3A00%3A00%2B00%3A00"]
        assert server.requests == [RecordedRequest("GET", path) for path in paths]

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, b""),
            (202, b'{"captures": []}'),
            *((200, body) for body in (b"{}", b'{"captures": [{}]}', b'{"captures": null}', b"<html>")),
        ],
    )
    def test_times_out_when_it_cannot_be_read(self, gateway, server, status, body):
        server.script.append(responding(status, raw=body))

        with pytest.raises(TimedOut):
            gateway.statement(NOON)


class TestReadWebhook:
    @pytest.mark.parametrize("sign", [-1, 1])
    def test_accepts_a_signature_up_to_five_minutes_old_or_ahead(self, gateway, sign):
        accepted, rejected = (signed(event(), at=NOON + timedelta(seconds=sign * late)) for late in (300, 301))

        assert gateway.read_webhook(event(), accepted, now=NOON)
        with pytest.raises(TimestampOutOfTolerance):
            gateway.read_webhook(event(), rejected, now=NOON)

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
        charges = [replace(CHARGE, idempotency_key=f"key-{number}") for number in range(64)]

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
