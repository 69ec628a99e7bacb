import pytest

from payments.simulator.behaviours import FaultSampler, ResponseMode
from payments.simulator.ledger import EntryKind
from tests.payments.simulator.bench import Bench


class TestCharge:
    @pytest.mark.parametrize(
        ("token", "reason"),
        [
            ("tok_declined", "card_declined"),
            *((f"tok_{reason}", reason) for reason in ("insufficient_funds", "expired_card", "fraud")),
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

    def test_has_an_unknown_outcome_until_it_is_decided_by_hand(self, bench: Bench) -> None:
        lost = [
            bench.charge("tok_unknown").mode,
            bench.charge("tok_unknown").mode,
            bench.processor.look_up("charge-1").mode,
        ]
        bench.processor.decline(bench.processor.find("charge-1"), reason="fraud")
        found = bench.processor.look_up("charge-1")

        assert lost == [ResponseMode.CLOSED] * 3
        assert (found.mode, found.charge.status) == (ResponseMode.NORMAL, "declined")

    def test_draws_once_for_a_request_that_is_repeated(self) -> None:
        bench = Bench(sampler=FaultSampler(rates={"error_once": 1.0}))

        modes = [bench.charge().mode for _ in range(3)]

        assert modes == [ResponseMode.SERVER_ERROR, ResponseMode.NORMAL, ResponseMode.NORMAL]
        assert len(bench.processor.find("charge-1").of_kind(EntryKind.DRAWN)) == 1


class TestCaptureFaults:
    def test_capture_late_although_it_was_cancelled(self, bench: Bench) -> None:
        bench.charge("tok_late")
        assert bench.processor.cancel("charge-1").status == "cancelled"
        bench.wait(1_199)
        assert bench.processor.find("charge-1").status == "cancelled"

        bench.wait(1)

        assert bench.processor.find("charge-1").status == "succeeded"
        assert bench.sent_types() == ["payment.cancelled", "payment.succeeded"]

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
        assert (body["type"], body["data"]["amount"], body["data"]["currency"]) == ("payment.succeeded", *captured)
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
    @pytest.mark.parametrize(("token", "status"), [("tok_visa", "succeeded"), ("tok_declined", "declined")])
    def test_leaves_a_decided_charge(self, bench: Bench, token: str, status: str) -> None:
        charge = bench.paid(token)

        assert (charge.status, bench.processor.cancel("charge-1")) == (status, charge)

    def test_prevents_the_repetition_of_a_dropped_request(self, bench: Bench) -> None:
        bench.charge("tok_error_once")
        bench.processor.cancel("charge-1")

        assert bench.paid("tok_error_once").status == "cancelled"
