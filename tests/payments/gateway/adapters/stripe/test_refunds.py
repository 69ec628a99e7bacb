import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from payments.gateway.adapters.stripe import StripeGateway
from payments.gateway.protocol import Answer, Money, Outcome, TimedOut, Unreachable
from tests.payments.gateway.adapters.stripe.scenes import chair, only, refund_request
from tests.payments.gateway.adapters.stripe.server import Fault


class TestCancel:
    def test_before_the_charge_arrives(self, gateway, server):
        assert gateway.cancel(chair()).outcome is Outcome.CANCELLED
        assert gateway.charge(chair()).outcome is Outcome.CANCELLED
        assert gateway.look_up(chair()).outcome is Outcome.CANCELLED
        assert server.captured() == 0

    @pytest.mark.parametrize(
        ("payment_method", "outcome", "captured"),
        [
            ("pm_card_visa", Outcome.SUCCEEDED, Money(2500, "EUR")),
            ("pm_usBankAccount", Outcome.PROCESSING, None),
            ("pm_card_authenticationRequired", Outcome.CANCELLED, None),
        ],
    )
    def test_cancels_only_what_waits_for_the_customer(self, gateway, payment_method, outcome, captured):
        gateway.charge(chair(payment_method=payment_method))

        answer = gateway.cancel(chair())
        assert (answer.outcome, answer.captured) == (outcome, captured)

    def test_returns_what_was_captured_meanwhile(self, gateway, server, monkeypatch):
        gateway.charge(chair(payment_method="pm_card_authenticationRequired"))
        before = gateway._retrieve(only(server.intents)["id"])
        server.capture(only(server.intents))

        monkeypatch.setattr(gateway, "_find", lambda charge: before)
        assert gateway.cancel(chair()).captured == Money(2500, "EUR")

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Fault("/cancel", 400, {"type": "invalid_request_error"}), "did not cancel"),
            (Fault("/cancel", after=True), None),
        ],
        ids=["Stripe refuses", "the answer is lost"],
    )
    def test_times_out_and_can_be_repeated_when(self, gateway, server, fault, error):
        server.faults.append(fault)
        with pytest.raises(TimedOut, match=error):
            gateway.cancel(chair())

        assert gateway.cancel(chair()).outcome is Outcome.CANCELLED


class TestRefund:
    @pytest.fixture
    def reference(self, gateway) -> str:
        return gateway.charge(chair()).reference

    def test_refunds_once_though_the_answer_was_lost_and_the_key_forgotten(self, gateway, server, reference):
        server.faults.append(Fault("POST /v1/refunds", after=True))
        with pytest.raises(TimedOut):
            gateway.refund(refund_request(reference, amount=1000))
        server.keys.clear()

        answer = gateway.refund(refund_request(reference, amount=1000))
        assert answer == Answer(outcome=Outcome.SUCCEEDED, reference=only(server.refunds)["id"])

    def test_refunds_once_for_concurrent_calls(self, gateway, server, reference):
        with ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(gateway.refund, [refund_request(reference, amount=100)] * 16))

        assert answers == {Answer(outcome=Outcome.SUCCEEDED, reference=only(server.refunds)["id"])}

    def test_finds_each_refund_among_many(self, gateway, server, reference):
        server.page_size = 2
        keys = [f"refund-{number}" for number in range(5)]
        first = [gateway.refund(refund_request(reference, idempotency_key=key, amount=100)) for key in keys]
        server.keys.clear()

        assert [gateway.refund(refund_request(reference, idempotency_key=key, amount=100)) for key in keys] == first
        assert len(server.refunds) == 5

    @pytest.mark.parametrize(
        ("status", "outcome", "reason"),
        [
            ("pending", Outcome.PROCESSING, ""),
            ("requires_action", Outcome.PROCESSING, ""),
            ("failed", Outcome.DECLINED, "lost_or_stolen_card"),
            ("canceled", Outcome.DECLINED, "canceled"),
        ],
    )
    def test_maps_the_status(self, gateway, server, status, outcome, reason):
        server.refund_status = status

        answer = gateway.refund(refund_request(gateway.charge(chair()).reference))
        assert (answer.outcome, answer.reason) == (outcome, reason)

    def test_declines_a_refund_beyond_the_capture(self, gateway, reference):
        too_much = gateway.refund(refund_request(reference, idempotency_key="too-much", amount=2501))
        gateway.refund(refund_request(reference))
        again = gateway.refund(refund_request(reference, idempotency_key="refund-2"))

        assert too_much == Answer(outcome=Outcome.DECLINED, reason="invalid_request_error")
        assert again == Answer(outcome=Outcome.DECLINED, reason="charge_already_refunded")

    @pytest.mark.parametrize("status", [400, 404])
    def test_is_unreachable_for_a_charge_of_another_account(self, gateway, server, status):
        missing = {"type": "invalid_request_error", "code": "resource_missing", "param": "payment_intent"}
        server.faults.append(Fault("POST /v1/refunds", status, missing))

        with pytest.raises(Unreachable):
            gateway.refund(refund_request("pi_404"))


class TestErrors:
    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (Fault("/confirm"), TimedOut),
            (Fault("/confirm", 500, {"type": "api_error"}), TimedOut),
            (Fault("/confirm", 502, body="<h1>Bad gateway</h1>"), TimedOut),
            (Fault("/confirm", 200, body="<h1>Welcome</h1>"), TimedOut),
            (Fault("/confirm", 409, {"type": "idempotency_error", "code": "idempotency_key_in_use"}), TimedOut),
            (Fault("/confirm", 400, {"type": "idempotency_error"}), TimedOut),
            (Fault("/confirm", 429, {"type": "invalid_request_error", "code": "lock_timeout"}), TimedOut),
            (Fault("/confirm", 429, {"type": "invalid_request_error", "code": "rate_limit"}), Unreachable),
            (Fault("/confirm", 401, {"type": "invalid_request_error"}), Unreachable),
            (Fault("/confirm", 403, {"type": "invalid_request_error"}), Unreachable),
            (Fault("/confirm", 404, {"type": "invalid_request_error"}), Unreachable),
            (Fault("/payment_intents", 500, {"type": "api_error"}), Unreachable),
            (Fault("/payment_intents", 404, {"type": "invalid_request_error"}), Unreachable),
            (Fault("/payment_intents", 400, {"type": "idempotency_error"}), Unreachable),
        ],
    )
    def test_time_out_only_if_money_may_have_moved(self, gateway, server, fault, expected):
        server.faults.append(fault)

        with pytest.raises(expected):
            gateway.charge(chair())

    def test_a_wrong_api_key_is_unreachable(self, configure_stripe):
        configure_stripe(stripe_api_key="sk_test_other")

        with pytest.raises(Unreachable, match="Invalid API Key"):
            StripeGateway().look_up(chair())

    @pytest.mark.parametrize("move", ["_confirm", "_withdraw"])
    def test_a_refused_connection_is_unreachable(self, gateway, configure_stripe, move):
        intent = gateway._find(chair())
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            configure_stripe(stripe_api_base=f"http://127.0.0.1:{closed.getsockname()[1]}")
            disconnected = StripeGateway()

            with pytest.raises(Unreachable):
                getattr(disconnected, move)(intent, chair())
