import pytest

from payments.simulator.dealings import KeyReused, Manner, NoSuchCharge, NoSuchRefund
from payments.simulator.statement import Reports
from tests.payments.simulator.benches import Bench


class TestRefund:
    def test_gives_the_money_back_once(self, bench: Bench) -> None:
        bench.paid()

        first, again = bench.refund(amount=1_000), bench.refund(amount=1_000)

        assert first == again
        assert first.refund.as_json() == {
            "key": "refund-1",
            "charge_key": "charge-1",
            "reference": first.refund.entry.reference,
            "status": "succeeded",
            "reason": "",
            "amount": 1_000,
            "currency": "GBP",
        }
        assert bench.bank.find("charge-1").refundable == 3_500

    def test_takes_the_reference_of_a_charge(self, bench: Bench) -> None:
        charge = bench.paid()

        assert bench.refund(of=charge.reference).refund.as_json()["charge_key"] == "charge-1"

    def test_never_exceeds_what_was_captured(self, bench: Bench) -> None:
        bench.paid()
        bench.refund("first", 4_000)

        too_much, rest = bench.refund("second", 501), bench.refund("third", 500)

        assert (too_much.refund.status, too_much.refund.entry.reason) == ("declined", "exceeds_capture")
        assert rest.refund.status == "succeeded"

    @pytest.mark.parametrize("token", ["tok_pending", "tok_declined"])
    def test_is_declined_when_nothing_was_captured(self, bench: Bench, token: str) -> None:
        bench.paid(token)

        assert bench.refund().refund.entry.reason == "exceeds_capture"

    def test_is_declined_in_another_currency(self, bench: Bench) -> None:
        bench.paid("tok_paid_otherwise")

        assert bench.refund("in GBP").refund.entry.reason == "other_currency"
        assert bench.refund("in EUR", currency="EUR").refund.status == "succeeded"

    def test_refuses_a_key_that_stands_for_something_else(self, bench: Bench) -> None:
        bench.paid()
        bench.refund(amount=1_000)

        with pytest.raises(KeyReused):
            bench.refund(amount=1_001)

    def test_refuses_a_charge_that_is_unknown(self, bench: Bench) -> None:
        with pytest.raises(NoSuchCharge):
            bench.refund()


class TestFaultsOfTheRefund:
    def test_decline_the_first_for_good(self, bench: Bench) -> None:
        bench.paid("tok_refund_declined")

        refunds = [bench.refund(key).refund for key in ("first", "first", "second")]

        assert [(refund.status, refund.entry.reason) for refund in refunds] == [
            ("declined", "account_closed"),
            ("declined", "account_closed"),
            ("succeeded", ""),
        ]

    def test_give_back_though_the_answer_is_lost(self, bench: Bench) -> None:
        bench.paid("tok_refund_answer_lost")

        first, again = bench.refund(), bench.refund()

        assert (first.manner, again.manner) == (Manner.LOST, Manner.PLAIN)
        assert first.refund == again.refund

    def test_forget_the_first_that_broke(self, bench: Bench) -> None:
        bench.paid("tok_refund_error")

        broken = bench.refund()
        with pytest.raises(NoSuchRefund):
            bench.refunds.look_up("charge-1", "refund-1")

        assert (broken.manner, broken.refund) == (Manner.BROKEN, None)
        assert bench.refund().refund.status == "succeeded"

    def test_take_their_time_and_hold_the_money_meanwhile(self, bench: Bench) -> None:
        bench.paid("tok_refund_slow")

        assert bench.refund().refund.status == "processing"
        assert bench.refund("second", 1).refund.entry.reason == "exceeds_capture"

        bench.wait(0.5)
        assert bench.refunds.look_up("charge-1", "refund-1").status == "succeeded"
        assert bench.refund().refund.status == "succeeded"

    @pytest.mark.parametrize("name", ["refund_declined", "refund_answer_lost", "refund_error", "refund_slow"])
    def test_are_counted_once(self, bench: Bench, name: str) -> None:
        bench.paid(f"tok_{name}")
        assert Reports(bench.ledger).faults() == {}

        for key in ("first", "first", "second"):
            bench.refund(key, 100)

        assert Reports(bench.ledger).faults() == {name: 1}
