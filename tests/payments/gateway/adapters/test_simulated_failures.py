"""
What the adapter makes of a gateway that does not answer, or not what it should: whether the money may have moved.
"""

from dataclasses import replace

import pytest

from payments.gateway.adapters.simulated import SimulatedGateway
from payments.gateway.protocol import ChargeRequest, TimedOut, Unreachable
from tests.payments.gateway.adapters.scripted_server import answering, hanging, hanging_up

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
CHARGE = ChargeRequest(
    idempotency_key="key-1", order_id="order-1", amount=4_500, currency="GBP", payment_method="tok_visa"
)


class TestCall:
    @pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 403, 409, 410, 413, 422, 500, 502, 504])
    def test_times_out_when_the_status_says_nothing_of_the_money(self, gateway, server, status):
        server.script.append(answering(status, raw=b"", location="/v1/elsewhere"))

        with pytest.raises(TimedOut, match=f"answered {status}"):
            gateway.charge(CHARGE)
        assert len(server.asked) == 1

    @pytest.mark.parametrize("status", [429, 503])
    def test_is_unreachable_when_nothing_was_done(self, gateway, server, status):
        server.script.append(answering(status, status="succeeded"))

        with pytest.raises(Unreachable, match=str(status)):
            gateway.charge(CHARGE)

    def test_is_unreachable_when_nobody_listens(self, gateway, server):
        server.stop()

        with pytest.raises(Unreachable, match="cannot be reached"):
            gateway.charge(CHARGE)
        assert server.asked == []

    @pytest.mark.parametrize("said", [b"", b"HTTP/1.", HEAD, HEAD + b'{"status": "succ', b"+OK POP3\r\n\r\n"])
    def test_times_out_when_the_connection_ends_before_the_answer(self, gateway, server, said):
        server.script.append(hanging_up(after=said))

        with pytest.raises(TimedOut, match="did not answer"):
            gateway.charge(CHARGE)
        assert len(server.asked) == 1

    @pytest.mark.parametrize("said", [b"", b"HTTP/1.", HEAD + b'{"status": "succ'])
    def test_times_out_when_the_answer_takes_too_long(self, server, settings, said):
        settings.PAYMENTS = replace(settings.PAYMENTS, timeout_seconds=0.05)
        server.script.append(hanging(after=said))

        with pytest.raises(TimedOut, match="did not answer"):
            SimulatedGateway(server.url).charge(CHARGE)
        assert len(server.asked) == 1

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"OK",
            b"<html>",
            b"{}",
            b"[]",
            b"null",
            b"\xff",
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
    def test_times_out_when_nobody_can_read_the_answer(self, gateway, server, body):
        server.script.append(answering(raw=body))

        with pytest.raises(TimedOut, match="cannot be read"):
            gateway.charge(CHARGE)
