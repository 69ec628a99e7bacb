from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from payments.gateway.adapters.stripe import StripeGateway
from payments.gateway.protocol import Answer, Money, Outcome, TimedOut, Unreachable
from tests.payments.gateway.adapters.stripe.scenes import NOW, chair, only
from tests.payments.gateway.adapters.stripe.server import Fault


class TestCharge:
    def test_captures_the_amount(self, gateway, server):
        answer = gateway.charge(chair())

        intent = only(server.intents)
        assert answer == Answer(outcome=Outcome.SUCCEEDED, reference=intent["id"], captured=Money(2500, "EUR"))
        assert intent["metadata"] == {"payment": "pay-1", "order_id": "order-1"}
        assert set(server.keys) == {"pay-1", "pay-1-confirm"}

    def test_captures_once_by_the_reference_when_the_key_is_forgotten(self, gateway, server):
        first = gateway.charge(chair())
        server.keys.clear()

        assert gateway.charge(chair(reference=first.reference)) == first
        assert len(server.intents) == 1

    def test_captures_once_for_concurrent_calls(self, gateway, server):
        with ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(gateway.charge, [chair()] * 16))

        reference = only(server.intents)["id"]
        assert answers == {Answer(outcome=Outcome.SUCCEEDED, reference=reference, captured=Money(2500, "EUR"))}
        assert server.captured() == 2500

    @pytest.mark.parametrize(
        ("payment_method", "reason"),
        [
            ("pm_card_chargeDeclined", "generic_decline"),
            ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
            ("tok_nonsense", "resource_missing"),
        ],
    )
    def test_cancels_a_declined_charge_so_that_it_never_captures(self, gateway, server, payment_method, reason):
        answer = gateway.charge(chair(payment_method=payment_method))

        intent = only(server.intents)
        assert answer == Answer(outcome=Outcome.DECLINED, reference=intent["id"], reason=reason)
        assert intent["status"] == "canceled"
        assert gateway.charge(chair()).outcome is Outcome.DECLINED
        assert server.captured() == 0

    def test_times_out_while_a_declined_charge_is_not_cancelled(self, gateway, server):
        server.faults.append(Fault("/cancel"))

        with pytest.raises(TimedOut):
            gateway.charge(chair(payment_method="pm_card_chargeDeclined"))

        assert gateway.charge(chair(payment_method="pm_card_chargeDeclined")).reason == "generic_decline"
        assert only(server.intents)["status"] == "canceled"

    @pytest.mark.parametrize(
        ("amount", "currency", "reason"), [(1, "EUR", "amount_too_small"), (12_501, "MGA", "amount_not_supported")]
    )
    def test_declines_an_amount_that_stripe_cannot_charge(self, gateway, server, amount, currency, reason):
        charge = chair(amount=amount, currency=currency)

        declined = Answer(outcome=Outcome.DECLINED, reason=reason)
        assert [gateway.charge(charge), gateway.look_up(charge), gateway.cancel(charge)] == [declined] * 3
        assert server.intents == {}

    def test_returns_the_page_where_the_customer_authorizes(self, gateway):
        answer = gateway.charge(chair(payment_method="pm_card_authenticationRequired"))

        assert (answer.outcome, answer.page) == (Outcome.PROCESSING, "https://hooks.stripe.com/3d_secure")

    def test_waits_for_a_bank(self, gateway, server):
        assert gateway.charge(chair(payment_method="pm_usBankAccount")).outcome is Outcome.PROCESSING

        server.capture(only(server.intents))
        assert gateway.look_up(chair()).outcome is Outcome.SUCCEEDED

    @pytest.mark.parametrize(
        ("currency", "units"), [("JPY", 12_500), ("RSD", 12_500), ("ISK", 1_250_000), ("KWD", 12_500), ("MGA", 125)]
    )
    def test_converts_minor_units_to_those_of_stripe(self, gateway, server, currency, units):
        answer = gateway.charge(chair(amount=12_500, currency=currency))

        assert (server.captured(), answer.captured) == (units, Money(12_500, currency))


class TestChargeWithAForgottenKey:
    old = chair(opened_at=NOW - timedelta(hours=25))

    @pytest.mark.parametrize("call", ["charge", "look_up"])
    def test_captures_once_the_intent_that_was_confirmed_or_only_created(self, gateway, server, call):
        getattr(gateway, call)(chair())
        server.keys.clear()

        assert gateway.charge(self.old).captured == Money(2500, "EUR")
        assert (len(server.intents), server.captured()) == (1, 2500)

    def test_creates_no_second_intent(self, gateway, server):
        assert gateway.look_up(self.old) == Answer(outcome=Outcome.ABSENT)
        with pytest.raises(TimedOut, match="too old"):
            gateway.charge(self.old)

        assert server.intents == {}

    def test_is_resolved_by_cancelling(self, gateway):
        assert gateway.cancel(self.old).outcome is Outcome.CANCELLED
        assert gateway.charge(self.old).outcome is Outcome.CANCELLED


class TestLostRequestsAndAnswers:
    @pytest.mark.parametrize(
        ("fault", "error", "then"),
        [
            (Fault("/confirm", after=True), TimedOut, Outcome.SUCCEEDED),
            (Fault("/confirm"), TimedOut, Outcome.ABSENT),
            (Fault("/payment_intents", after=True), Unreachable, Outcome.ABSENT),
        ],
        ids=["a lost answer", "a lost request", "a lost answer to creating"],
    )
    def test_can_be_looked_up_and_charged_again(self, gateway, server, fault, error, then):
        server.faults.append(fault)
        with pytest.raises(error):
            gateway.charge(chair())

        assert gateway.look_up(chair()).outcome is then
        assert gateway.charge(chair()).captured == Money(2500, "EUR")
        assert (len(server.intents), server.captured()) == (1, 2500)

    def test_a_request_that_comes_after_its_cancellation_captures_nothing(self, configure_stripe, server):
        configure_stripe(timeout_seconds=0.3)
        impatient = StripeGateway(clock=lambda: NOW)
        late = Fault("/confirm", hang=True)
        server.faults.append(late)
        with pytest.raises(TimedOut):
            impatient.charge(chair())

        assert impatient.cancel(chair()).outcome is Outcome.CANCELLED
        late.released.set()
        assert late.done.wait(5)
        assert server.captured() == 0

    @pytest.mark.parametrize("move", ["charge", "cancel"])
    def test_a_failure_that_stripe_replays_for_its_key_does_not_last(self, gateway, server, move):
        confirm = ["/v1/payment_intents/pi_1/confirm", {"payment_method": "pm_card_visa"}]
        server.keys["pay-1-confirm"] = (confirm, 500, {"error": {"type": "api_error"}})

        answer = getattr(gateway, move)(chair())
        assert answer.outcome is (Outcome.SUCCEEDED if move == "charge" else Outcome.CANCELLED)
        assert server.captured() == (2500 if move == "charge" else 0)


class TestLookUp:
    def test_declines_and_cancels_a_charge_that_failed_later(self, gateway, server):
        answer = gateway.charge(chair(payment_method="pm_usBankAccount"))
        only(server.intents).update(
            status="requires_payment_method", last_payment_error={"type": "card_error", "code": "bank_account_closed"}
        )

        declined = Answer(outcome=Outcome.DECLINED, reference=answer.reference, reason="bank_account_closed")
        assert gateway.look_up(chair()) == declined
        assert only(server.intents)["status"] == "canceled"
