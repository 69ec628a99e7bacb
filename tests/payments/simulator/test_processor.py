from collections import Counter

import pytest

from payments.simulator.behaviours import FaultSampler, ResponseMode
from payments.simulator.charges import KeyReused, NoSuchCharge
from payments.simulator.ledger import EntryKind
from tests.payments.simulator.bench import Bench


class TestCharge:
    def test_is_processing_until_the_delay_has_passed(self, bench: Bench) -> None:
        assert bench.charge().charge.status == "processing"

        bench.wait(0.4)
        assert bench.processor.find("charge-1").status == "processing"

        bench.wait(0.1)
        assert bench.processor.find("charge-1").as_json("http://provider") == {
            "key": "charge-1",
            "reference": (reference := bench.processor.find("charge-1").reference),
            "order_id": "order-1",
            "status": "succeeded",
            "reason": "",
            "amount": 4_500,
            "currency": "GBP",
            "captured": {"amount": 4_500, "currency": "GBP"},
            "page": f"http://provider/payments/{reference}",
        }

    def test_captures_once_however_often_it_is_repeated(self, bench: Bench) -> None:
        first, again = bench.charge(), bench.charge()
        bench.wait(1)
        decided = bench.charge()

        assert first.charge == again.charge
        assert decided.charge.status == "succeeded"
        assert len(decided.charge.of_kind(EntryKind.CAPTURED)) == 1

    @pytest.mark.parametrize("other", [{"amount": 4_501}, {"currency": "EUR"}])
    def test_rejects_a_key_used_for_another_amount_or_currency(self, bench: Bench, other: dict) -> None:
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
    def test_is_declined_for_the_reason_of_its_token(self, bench: Bench, token: str, reason: str) -> None:
        assert bench.charge(token).charge.status == "processing"
        bench.wait(0.5)

        charge = bench.processor.find("charge-1")
        assert (charge.status, charge.reason, charge.captured) == ("declined", reason, None)

    def test_stays_pending_without_an_action(self, bench: Bench) -> None:
        bench.charge("tok_pending")
        bench.wait(1_000_000)

        assert bench.processor.find("charge-1").status == "processing"
        assert bench.ledger.open_entries() == []

    def test_draws_the_same_behaviours_for_the_same_seed(self) -> None:
        def draw() -> list[str]:
            bench = Bench(sampler=FaultSampler(seed=3, rates={"never": 0.3, "declined": 0.3}))
            return [bench.charge(key=f"charge-{n}").charge.behaviour.name for n in range(40)]

        assert draw() == draw()
        assert len(Counter(draw())) == 3

    def test_draws_once_for_a_request_that_is_repeated(self) -> None:
        bench = Bench(sampler=FaultSampler(rates={"error_once": 1.0}))

        modes = [bench.charge().mode for _ in range(3)]

        assert modes == [ResponseMode.SERVER_ERROR, ResponseMode.NORMAL, ResponseMode.NORMAL]
        assert len(bench.processor.find("charge-1").of_kind(EntryKind.DRAWN)) == 1


class TestRequestFaults:
    @pytest.mark.parametrize(
        ("token", "mode"),
        [
            ("tok_answer_lost_uncharged", ResponseMode.CLOSED),
            ("tok_error_once", ResponseMode.SERVER_ERROR),
            ("tok_rate_limited", ResponseMode.RATE_LIMITED),
        ],
    )
    def test_drop_the_first_request_and_accept_the_second(self, bench: Bench, token: str, mode: ResponseMode) -> None:
        assert bench.charge(token).mode is mode
        with pytest.raises(NoSuchCharge):
            bench.processor.find("charge-1")

        assert bench.charge(token).mode is ResponseMode.NORMAL
        bench.wait(1)
        assert bench.processor.find("charge-1").status == "succeeded"
        assert bench.ledger.faults() == {token.removeprefix("tok_"): 1}

    @pytest.mark.parametrize("token", ["tok_answer_lost_charged", "tok_timeout"])
    def test_capture_without_a_response(self, bench: Bench, token: str) -> None:
        reply = bench.charge(token)

        assert (reply.mode, reply.charge.status) == (ResponseMode.CLOSED, "succeeded")
        assert bench.sent == []
        bench.wait(0.5)
        assert [body["type"] for body in bench.sent_bodies()] == ["payment.succeeded"]
        assert bench.ledger.faults() == {"answer_lost_charged": 1}

    def test_answer_the_first_request_slowly(self, bench: Bench) -> None:
        assert [bench.charge("tok_slow").mode for _ in range(2)] == [ResponseMode.SLOW, ResponseMode.NORMAL]

    def test_drop_the_first_look_up(self, bench: Bench) -> None:
        bench.charge("tok_lookup_lost")
        bench.wait(1.9)
        assert bench.sent == []

        modes = [bench.processor.look_up("charge-1").mode for _ in range(2)]

        assert modes == [ResponseMode.CLOSED, ResponseMode.NORMAL]
        bench.wait(0.1)
        assert [body["type"] for body in bench.sent_bodies()] == ["payment.succeeded"]


class TestCaptureFaults:
    def test_capture_late_although_it_was_cancelled(self, bench: Bench) -> None:
        bench.charge("tok_late")
        assert bench.processor.cancel("charge-1").status == "cancelled"
        bench.wait(1_199)
        assert bench.processor.find("charge-1").status == "cancelled"

        bench.wait(1)

        assert bench.processor.find("charge-1").status == "succeeded"
        assert [body["type"] for body in bench.sent_bodies()] == ["payment.cancelled", "payment.succeeded"]
        assert bench.ledger.faults() == {"late": 1}

    @pytest.mark.parametrize(
        ("token", "requested", "captured"),
        [
            ("tok_short_paid", (4_500, "GBP"), (4_499, "GBP")),
            ("tok_short_paid", (1, "GBP"), (2, "GBP")),
            ("tok_paid_otherwise", (4_500, "GBP"), (4_500, "EUR")),
            ("tok_paid_otherwise", (4_500, "EUR"), (4_500, "USD")),
        ],
    )
    def test_capture_another_amount_or_currency_and_state_it(
        self, bench: Bench, token: str, requested: tuple, captured: tuple
    ) -> None:
        charge = bench.paid(token, amount=requested[0], currency=requested[1])

        [body] = bench.sent_bodies()
        assert (body["data"]["amount"], body["data"]["currency"]) == captured
        assert charge.as_json("")["captured"] == {"amount": captured[0], "currency": captured[1]}

    def test_capture_twice_under_two_keys(self, bench: Bench) -> None:
        bench.paid("tok_captured_twice")

        right, again = [body["data"] for body in bench.sent_bodies()]
        same = {"order_id": "order-1", "status": "succeeded", "reason": "", "amount": 4_500, "currency": "GBP"}
        assert right == same | {"key": "charge-1", "reference": bench.processor.find("charge-1").reference}
        assert again == same | {"key": again["key"], "reference": bench.processor.find(again["key"]).reference}
        assert right["key"] != again["key"]
        assert bench.processor.find(again["key"]).status == "succeeded"


class TestCancel:
    def test_ends_an_undecided_charge(self, bench: Bench) -> None:
        bench.charge()

        assert bench.processor.cancel("charge-1").status == "cancelled"
        bench.wait(10)
        assert bench.processor.find("charge-1").status == "cancelled"
        assert [body["type"] for body in bench.sent_bodies()] == ["payment.cancelled"]

    @pytest.mark.parametrize(("token", "status"), [("tok_visa", "succeeded"), ("tok_declined", "declined")])
    def test_leaves_a_decided_charge(self, bench: Bench, token: str, status: str) -> None:
        bench.paid(token)

        assert bench.processor.cancel("charge-1").status == status

    @pytest.mark.parametrize("token", ["tok_visa", "tok_late", "tok_timeout", "tok_callback_before_answer"])
    def test_keeps_a_charge_from_arriving_later(self, bench: Bench, token: str) -> None:
        assert bench.processor.cancel("charge-1").status == "cancelled"
        arrived = bench.paid(token)

        assert (arrived.status, arrived.captured, arrived.requested.amount) == ("cancelled", None, 4_500)
        assert (bench.sent, bench.ledger.open_entries()) == ([], [])

    def test_prevents_the_repetition_of_a_dropped_request(self, bench: Bench) -> None:
        bench.charge("tok_error_once")
        bench.processor.cancel("charge-1")

        assert bench.paid("tok_error_once").status == "cancelled"
