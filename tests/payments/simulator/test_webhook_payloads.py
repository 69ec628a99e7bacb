import pytest

from payments.simulator.behaviours import BEHAVIOURS, CHARGE_FAULTS
from payments.simulator.webhooks import Signature
from tests.payments.simulator.bench import Bench

OTHERS = {"answer_lost_uncharged", "error_once", "rate_limited", "lookup_lost"}


def sent(bench: Bench) -> list[tuple[str, int, str, str]]:
    """
    Return the type, amount, currency and signature of each webhook.
    """
    signatures = [webhook.detail["signature"] for webhook in bench.sent]
    data = [(body["type"], body["data"]["amount"], body["data"]["currency"]) for body in bench.sent_bodies()]
    return [(*fields, signature) for fields, signature in zip(data, signatures, strict=True)]


SUCCEEDED = ("payment.succeeded", 4_500, "GBP", Signature.VALID)


class TestWebhooks:
    @pytest.mark.parametrize(
        ("token", "expected"),
        [
            ("tok_visa", [SUCCEEDED]),
            ("tok_declined", [("payment.failed", 4_500, "GBP", Signature.VALID)]),
            ("tok_callback_twice", [SUCCEEDED] * 2),
            ("tok_callback_twenty", [SUCCEEDED] * 20),
            ("tok_callback_before_answer", [SUCCEEDED]),
            ("tok_never", []),
            ("tok_contradictory", [("payment.failed", 4_500, "GBP", Signature.VALID), SUCCEEDED]),
            ("tok_wrong_amount", [("payment.succeeded", 4_501, "GBP", Signature.VALID)]),
            ("tok_wrong_currency", [("payment.succeeded", 4_500, "EUR", Signature.VALID)]),
            ("tok_short_paid", [("payment.succeeded", 4_499, "GBP", Signature.VALID)]),
            ("tok_paid_otherwise", [("payment.succeeded", 4_500, "EUR", Signature.VALID)]),
            ("tok_bad_signature", [("payment.succeeded", 4_500, "GBP", Signature.INVALID)]),
            ("tok_old_timestamp", [("payment.succeeded", 4_500, "GBP", Signature.EXPIRED)]),
            ("tok_unknown_payment", [SUCCEEDED] * 2),
            ("tok_captured_twice", [SUCCEEDED] * 2),
            ("tok_callback_reordered", [SUCCEEDED, ("payment.processing", 4_500, "GBP", Signature.VALID)]),
            ("tok_lookup_lost", [SUCCEEDED]),
        ],
    )
    def test_state_a_charge_as_its_behaviour_distorts_it(self, bench: Bench, token: str, expected: list) -> None:
        bench.paid(token)

        assert sent(bench) == expected

    @pytest.mark.parametrize(("token", "count"), [("tok_callback_twice", 2), ("tok_callback_twenty", 20)])
    def test_repeat_the_same_id_and_body(self, bench: Bench, token: str, count: int) -> None:
        bench.paid(token)

        assert len({(webhook.key, webhook.detail["body"], webhook.due) for webhook in bench.sent}) == 1
        assert len(bench.sent) == count

    @pytest.mark.parametrize("token", ["tok_contradictory", "tok_unknown_payment", "tok_captured_twice"])
    def test_have_ids_of_their_own_when_they_differ(self, bench: Bench, token: str) -> None:
        bench.paid(token)

        assert len({webhook.key for webhook in bench.sent}) == 2

    def test_state_a_payment_that_does_not_exist(self, bench: Bench) -> None:
        charge = bench.paid("tok_unknown_payment")

        right, unknown = [body["data"] for body in bench.sent_bodies()]
        assert (right["key"], right["order_id"]) == ("charge-1", "order-1")
        assert unknown["key"] not in {charge.key, charge.reference}
        assert unknown["order_id"] != "order-1"

    def test_state_an_earlier_status_after_the_present_one(self, bench: Bench) -> None:
        bench.paid("tok_callback_reordered")

        first, second = bench.sent_bodies()
        assert (first["data"]["status"], second["data"]["status"]) == ("succeeded", "processing")
        assert first["timestamp"] > second["timestamp"]

    @pytest.mark.parametrize("name", [name for name in CHARGE_FAULTS if name not in OTHERS])
    def test_come_from_faults_that_are_counted(self, bench: Bench, name: str) -> None:
        bench.charge(BEHAVIOURS[name].token)
        bench.wait(1_200)

        assert bench.processor.find("charge-1").status == "succeeded"
        assert bench.ledger.faults() == {name: 1}
