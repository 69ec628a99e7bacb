import pytest

from payments.simulator import refunds
from payments.simulator.behaviours import ResponseMode
from payments.simulator.charges import REFUND_STATUSES, KeyReused, NoSuchCharge, NoSuchRefund, refund_as_json
from payments.simulator.ledger import EntryKind, LedgerEntry
from tests.payments.simulator.bench import Bench


def status(entry: LedgerEntry) -> str:
    return REFUND_STATUSES[entry.kind]


class TestRefund:
    def test_refunds_once_however_often_it_is_repeated(self, bench: Bench) -> None:
        bench.paid()

        first, again = bench.refund(amount=1_000), bench.refund(amount=1_000)

        assert first == again
        assert refund_as_json(first.refund) == {
            "key": "refund-1",
            "charge_key": "charge-1",
            "reference": first.refund.reference,
            "status": "succeeded",
            "reason": "",
            "amount": 1_000,
            "currency": "GBP",
        }
        assert bench.processor.find("charge-1").refunded(EntryKind.REFUNDED) == 1_000

    def test_accepts_the_reference_of_a_charge(self, bench: Bench) -> None:
        charge = bench.paid()

        assert bench.refund(of=charge.reference).refund.charge == "charge-1"

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

    def test_rejects_an_unknown_charge(self, bench: Bench) -> None:
        with pytest.raises(NoSuchCharge):
            bench.refund()


class TestRefundFaults:
    def test_decline_the_first_refund_for_good(self, bench: Bench) -> None:
        bench.paid("tok_refund_declined")

        records = [bench.refund(key).refund for key in ("first", "first", "second")]

        assert [(status(refund), refund.reason) for refund in records] == [
            ("declined", "account_closed"),
            ("declined", "account_closed"),
            ("succeeded", ""),
        ]

    def test_refund_without_a_response(self, bench: Bench) -> None:
        bench.paid("tok_refund_answer_lost")

        first, again = bench.refund(), bench.refund()

        assert (first.mode, again.mode) == (ResponseMode.CLOSED, ResponseMode.NORMAL)
        assert first.refund == again.refund

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
