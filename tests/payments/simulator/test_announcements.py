import pytest

from payments.simulator.announcements import Signature
from payments.simulator.behaviours import BEHAVIOURS, FAULTS, Group
from payments.simulator.statement import Reports
from tests.payments.simulator.benches import Bench

OTHERS = {"answer_lost_uncharged", "error_once", "rate_limited", "lookup_lost"}


def announced(bench: Bench) -> list[tuple[str, int, str, str]]:
    """
    List what the shop is told: type, amount, currency and how it is signed.
    """
    signatures = [callback.detail["signature"] for callback in bench.sent]
    data = [(told["type"], told["data"]["amount"], told["data"]["currency"]) for told in bench.told()]
    return [(*told, signature) for told, signature in zip(data, signatures, strict=True)]


SUCCEEDED = ("payment.succeeded", 4_500, "GBP", Signature.GOOD)


class TestAnnouncements:
    @pytest.mark.parametrize(
        ("token", "expected"),
        [
            ("tok_visa", [SUCCEEDED]),
            ("tok_declined", [("payment.failed", 4_500, "GBP", Signature.GOOD)]),
            ("tok_callback_twice", [SUCCEEDED] * 2),
            ("tok_callback_twenty", [SUCCEEDED] * 20),
            ("tok_callback_before_answer", [SUCCEEDED]),
            ("tok_never", []),
            ("tok_contradictory", [("payment.failed", 4_500, "GBP", Signature.GOOD), SUCCEEDED]),
            ("tok_wrong_amount", [("payment.succeeded", 4_501, "GBP", Signature.GOOD)]),
            ("tok_wrong_currency", [("payment.succeeded", 4_500, "EUR", Signature.GOOD)]),
            ("tok_short_paid", [("payment.succeeded", 4_499, "GBP", Signature.GOOD)]),
            ("tok_paid_otherwise", [("payment.succeeded", 4_500, "EUR", Signature.GOOD)]),
            ("tok_bad_signature", [("payment.succeeded", 4_500, "GBP", Signature.BAD)]),
            ("tok_old_timestamp", [("payment.succeeded", 4_500, "GBP", Signature.OLD)]),
            ("tok_unknown_payment", [SUCCEEDED] * 2),
            ("tok_captured_twice", [SUCCEEDED] * 2),
            ("tok_callback_reordered", [SUCCEEDED, ("payment.processing", 4_500, "GBP", Signature.GOOD)]),
            ("tok_lookup_lost", [SUCCEEDED]),
        ],
    )
    def test_say_what_the_behaviour_makes_of_it(self, bench: Bench, token: str, expected: list) -> None:
        bench.paid(token)

        assert announced(bench) == expected

    @pytest.mark.parametrize(("token", "count"), [("tok_callback_twice", 2), ("tok_callback_twenty", 20)])
    def test_repeat_the_same_id_and_body(self, bench: Bench, token: str, count: int) -> None:
        bench.paid(token)

        assert len({(callback.key, callback.detail["body"], callback.due) for callback in bench.sent}) == 1
        assert len(bench.sent) == count

    @pytest.mark.parametrize("token", ["tok_contradictory", "tok_unknown_payment", "tok_captured_twice"])
    def test_have_ids_of_their_own_when_they_differ(self, bench: Bench, token: str) -> None:
        bench.paid(token)

        assert len({callback.key for callback in bench.sent}) == 2

    def test_name_a_payment_that_nobody_knows(self, bench: Bench) -> None:
        charge = bench.paid("tok_unknown_payment")

        right, unknown = [told["data"] for told in bench.told()]
        assert (right["key"], right["order_id"]) == ("charge-1", "order-1")
        assert unknown["key"] not in {charge.key, charge.reference}
        assert unknown["order_id"] != "order-1"

    def test_tell_what_was_before_after_what_is_so(self, bench: Bench) -> None:
        bench.paid("tok_callback_reordered")

        first, second = bench.told()
        assert (first["data"]["status"], second["data"]["status"]) == ("succeeded", "processing")
        assert first["timestamp"] > second["timestamp"]

    @pytest.mark.parametrize(
        "name", [name for name in FAULTS if BEHAVIOURS[name].group is Group.FAULT and name not in OTHERS]
    )
    def test_come_from_faults_that_are_counted(self, bench: Bench, name: str) -> None:
        bench.charge(BEHAVIOURS[name].token)
        bench.wait(1_200)

        assert bench.bank.find("charge-1").status == "succeeded"
        assert Reports(bench.ledger).faults() == {name: 1}
