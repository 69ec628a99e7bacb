from collections import Counter
from pathlib import Path

import pytest

from payments.simulator.behaviours import Dice
from payments.simulator.dealings import KeyReused, Manner, NoSuchCharge
from payments.simulator.entries import Kind
from payments.simulator.statement import Reports
from tests.payments.simulator.benches import Bench


class TestCharge:
    def test_is_processing_until_the_delay_has_passed(self, bench: Bench) -> None:
        assert bench.charge().charge.status == "processing"

        bench.wait(0.4)
        assert bench.bank.find("charge-1").status == "processing"

        bench.wait(0.1)
        assert bench.bank.find("charge-1").as_json("http://bank") == {
            "key": "charge-1",
            "reference": (reference := bench.bank.find("charge-1").reference),
            "order_id": "order-1",
            "status": "succeeded",
            "reason": "",
            "amount": 4_500,
            "currency": "GBP",
            "captured": {"amount": 4_500, "currency": "GBP"},
            "page": f"http://bank/payments/{reference}",
        }

    def test_moves_money_once_however_often_it_is_asked(self, bench: Bench) -> None:
        first, again = bench.charge(), bench.charge()
        bench.wait(1)
        decided = bench.charge()

        assert first.charge == again.charge
        assert decided.charge.status == "succeeded"
        assert len(decided.charge.of_kind(Kind.CAPTURED)) == 1

    @pytest.mark.parametrize("other", [{"amount": 4_501}, {"currency": "EUR"}])
    def test_refuses_a_key_that_stands_for_something_else(self, bench: Bench, other: dict) -> None:
        bench.charge()

        with pytest.raises(KeyReused, match="was used for 4500 GBP"):
            bench.charge(**other)

    @pytest.mark.parametrize(
        ("token", "reason"),
        [
            ("tok_declined", "card_declined"),
            ("tok_insufficient_funds", "insufficient_funds"),
            ("tok_expired_card", "expired_card"),
            ("tok_fraud", "fraud"),
        ],
    )
    def test_is_declined_by_the_reason_of_its_token(self, bench: Bench, token: str, reason: str) -> None:
        assert bench.charge(token).charge.status == "processing"
        bench.wait(0.5)

        charge = bench.bank.find("charge-1")
        assert (charge.status, charge.reason, charge.captured) == ("declined", reason, None)

    def test_waits_for_a_person_for_ever(self, bench: Bench) -> None:
        bench.charge("tok_pending")
        bench.wait(1_000_000)

        assert bench.bank.find("charge-1").status == "processing"
        assert bench.ledger.open_entries() == []

    def test_draws_the_same_for_the_same_seed(self, tmp_path: Path) -> None:
        def drawn(run: str) -> list[str]:
            bench = Bench(tmp_path / run, dice=Dice(seed=3, rates={"never": 0.3, "declined": 0.3}))
            return [bench.charge(key=f"charge-{n}").charge.behaviour.name for n in range(40)]

        assert drawn("once") == drawn("again")
        assert len(Counter(drawn("third"))) == 3

    def test_draws_once_for_a_charge_that_was_forgotten(self, ledger_path: Path) -> None:
        bench = Bench(ledger_path, dice=Dice(rates={"error_once": 1.0}))

        manners = [bench.charge().manner for _ in range(3)]

        assert manners == [Manner.BROKEN, Manner.PLAIN, Manner.PLAIN]
        assert len(bench.bank.find("charge-1").of_kind(Kind.DRAWN)) == 1


class TestFaultsOfTheRequest:
    @pytest.mark.parametrize(
        ("token", "manner"),
        [
            ("tok_answer_lost_uncharged", Manner.LOST),
            ("tok_error_once", Manner.BROKEN),
            ("tok_rate_limited", Manner.LIMITED),
        ],
    )
    def test_forget_the_first_and_serve_the_second(self, bench: Bench, token: str, manner: Manner) -> None:
        assert bench.charge(token).manner is manner
        with pytest.raises(NoSuchCharge):
            bench.bank.find("charge-1")

        assert bench.charge(token).manner is Manner.PLAIN
        bench.wait(1)
        assert bench.bank.find("charge-1").status == "succeeded"
        assert Reports(bench.ledger).faults() == {token.removeprefix("tok_"): 1}

    @pytest.mark.parametrize("token", ["tok_answer_lost_charged", "tok_timeout"])
    def test_capture_though_the_answer_is_lost(self, bench: Bench, token: str) -> None:
        reply = bench.charge(token)

        assert (reply.manner, reply.charge.status) == (Manner.LOST, "succeeded")
        assert bench.sent == []
        bench.wait(0.5)
        assert [told["type"] for told in bench.told()] == ["payment.succeeded"]
        assert Reports(bench.ledger).faults() == {"answer_lost_charged": 1}

    def test_answer_the_first_request_slowly(self, bench: Bench) -> None:
        assert [bench.charge("tok_slow").manner for _ in range(2)] == [Manner.SLOW, Manner.PLAIN]

    def test_lose_the_first_look_up(self, bench: Bench) -> None:
        bench.charge("tok_lookup_lost")
        bench.wait(1.9)
        assert bench.sent == []

        manners = [bench.bank.look_up("charge-1").manner for _ in range(2)]

        assert manners == [Manner.LOST, Manner.PLAIN]
        bench.wait(0.1)
        assert [told["type"] for told in bench.told()] == ["payment.succeeded"]


class TestFaultsOfTheMoney:
    def test_capture_late_though_it_was_cancelled(self, bench: Bench) -> None:
        bench.charge("tok_late")
        assert bench.bank.cancel("charge-1").status == "cancelled"
        bench.wait(1_199)
        assert bench.bank.find("charge-1").status == "cancelled"

        bench.wait(1)

        assert bench.bank.find("charge-1").status == "succeeded"
        assert [told["type"] for told in bench.told()] == ["payment.cancelled", "payment.succeeded"]
        assert Reports(bench.ledger).faults() == {"late": 1}

    @pytest.mark.parametrize(
        ("token", "asked", "captured"),
        [
            ("tok_short_paid", (4_500, "GBP"), (4_499, "GBP")),
            ("tok_short_paid", (1, "GBP"), (2, "GBP")),
            ("tok_paid_otherwise", (4_500, "GBP"), (4_500, "EUR")),
            ("tok_paid_otherwise", (4_500, "EUR"), (4_500, "USD")),
        ],
    )
    def test_capture_something_else_and_say_so(self, bench: Bench, token: str, asked: tuple, captured: tuple) -> None:
        charge = bench.paid(token, amount=asked[0], currency=asked[1])

        [told] = bench.told()
        assert (told["data"]["amount"], told["data"]["currency"]) == captured
        assert charge.as_json("")["captured"] == {"amount": captured[0], "currency": captured[1]}

    def test_capture_twice_under_two_keys(self, bench: Bench) -> None:
        bench.paid("tok_captured_twice")

        right, again = [told["data"] for told in bench.told()]
        same = {"order_id": "order-1", "status": "succeeded", "reason": "", "amount": 4_500, "currency": "GBP"}
        assert right == same | {"key": "charge-1", "reference": bench.bank.find("charge-1").reference}
        assert again == same | {"key": again["key"], "reference": bench.bank.find(again["key"]).reference}
        assert right["key"] != again["key"]
        assert bench.bank.find(again["key"]).status == "succeeded"


class TestCancel:
    def test_withdraws_what_is_not_decided(self, bench: Bench) -> None:
        bench.charge()

        assert bench.bank.cancel("charge-1").status == "cancelled"
        bench.wait(10)
        assert bench.bank.find("charge-1").status == "cancelled"
        assert [told["type"] for told in bench.told()] == ["payment.cancelled"]

    @pytest.mark.parametrize(("token", "status"), [("tok_visa", "succeeded"), ("tok_declined", "declined")])
    def test_leaves_what_is_decided(self, bench: Bench, token: str, status: str) -> None:
        bench.paid(token)

        assert bench.bank.cancel("charge-1").status == status

    @pytest.mark.parametrize("token", ["tok_visa", "tok_late", "tok_timeout", "tok_callback_before_answer"])
    def test_keeps_a_charge_from_arriving_later(self, bench: Bench, token: str) -> None:
        assert bench.bank.cancel("charge-1").status == "cancelled"
        arrived = bench.paid(token)

        assert (arrived.status, arrived.captured, arrived.asked.amount) == ("cancelled", None, 4_500)
        assert (bench.sent, bench.ledger.open_entries()) == ([], [])

    def test_goes_back_on_a_forgotten_charge(self, bench: Bench) -> None:
        bench.charge("tok_error_once")
        bench.bank.cancel("charge-1")

        assert bench.paid("tok_error_once").status == "cancelled"
