import pytest

from payments.simulator import refunds
from payments.simulator.behaviours import ResponseMode
from payments.simulator.charges import REFUND_STATUSES, KeyReused, NoSuchRefund
from payments.simulator.ledger import LedgerEntry
from tests.payments.simulator.bench import Bench


def status(entry: LedgerEntry) -> str:
    return REFUND_STATUSES[entry.kind]


class TestRefund:
    def test_never_exceeds_the_capture(self, bench: Bench) -> None:
        bench.paid()
        bench.refund("first", 4_000)

        excess, rest = bench.refund("second", 501), bench.refund("third", 500)

        assert (status(excess.refund), excess.refund.reason) == ("declined", "exceeds_capture")
        assert status(rest.refund) == "succeeded"

    @pytest.mark.parametrize("token", ["tok_pending", "tok_declined"])
    def test_is_declined_when_nothing_was_captured(self, bench: Bench, token: str) -> None:
        bench.paid(token)

        assert bench.refund().refund.reason == "exceeds_capture"

    def test_is_declined_in_another_currency(self, bench: Bench) -> None:
        bench.paid("tok_paid_otherwise")

        assert bench.refund("in GBP").refund.reason == "other_currency"
        assert status(bench.refund("in EUR", currency="EUR").refund) == "succeeded"

    def test_rejects_a_key_used_for_another_amount(self, bench: Bench) -> None:
        bench.paid()
        bench.refund(amount=1_000)

        with pytest.raises(KeyReused):
            bench.refund(amount=1_001)


class TestRefundFaults:
    def test_decline_the_first_refund_for_good(self, bench: Bench) -> None:
        bench.paid("tok_refund_declined")

        records = [bench.refund(key).refund for key in ("first", "first", "second")]

        assert [(status(refund), refund.reason) for refund in records] == [
            ("declined", "account_closed"),
            ("declined", "account_closed"),
            ("succeeded", ""),
        ]

    def test_drop_the_first_request(self, bench: Bench) -> None:
        bench.paid("tok_refund_error")

        dropped = bench.refund()
        with pytest.raises(NoSuchRefund):
            refunds.look_up(bench.processor, "charge-1", "refund-1")

        assert (dropped.mode, dropped.refund) == (ResponseMode.SERVER_ERROR, None)
        assert status(bench.refund().refund) == "succeeded"

    def test_keep_a_refund_processing_and_reserve_its_amount(self, bench: Bench) -> None:
        bench.paid("tok_refund_slow")

        assert status(bench.refund().refund) == "processing"
        assert bench.refund("second", 1).refund.reason == "exceeds_capture"

        bench.wait(0.5)
        assert status(refunds.look_up(bench.processor, "charge-1", "refund-1")) == "succeeded"
        assert status(bench.refund().refund) == "succeeded"

    @pytest.mark.parametrize("name", ["refund_declined", "refund_answer_lost", "refund_error", "refund_slow"])
    def test_are_counted_once(self, bench: Bench, name: str) -> None:
        bench.paid(f"tok_{name}")
        assert bench.ledger.faults() == {}

        for key in ("first", "first", "second"):
            bench.refund(key, 100)

        assert bench.ledger.faults() == {name: 1}
