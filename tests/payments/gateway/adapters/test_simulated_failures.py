"""
The adapter to the simulator when there is no answer, or a wrong one: whether the money may have moved.
"""

from dataclasses import replace

import pytest

from payments.gateway.adapters.simulated import SimulatedGateway
from payments.gateway.protocol import ChargeRequest, TimedOut, Unreachable
from tests.payments.gateway.adapters.scripted_server import disconnecting, hanging, responding

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CHARGE = ChargeRequest(
    idempotency_key="key-1", order_id="order-1", amount=4_500, currency="GBP", payment_method="tok_visa"
)


class TestCall:
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
        server.script.append(hanging(after=sent))

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
