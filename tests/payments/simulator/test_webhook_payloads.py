from datetime import timedelta

import pytest

from payments.simulator.behaviours import BEHAVIOURS, CHARGE_FAULTS
from payments.simulator.webhooks import Signature
from tests.payments.simulator.bench import Bench

OTHERS = {"answer_lost_uncharged", "error_once", "rate_limited", "lookup_lost"}

SUCCEEDED = ("payment.succeeded", 4_500, "GBP", Signature.VALID)
FAILED = ("payment.failed", 4_500, "GBP", Signature.VALID)


class TestWebhooks:
    @pytest.mark.parametrize(
        ("token", "expected"),
        [
            ("tok_visa", [SUCCEEDED]),
            ("tok_declined", [FAILED]),
            ("tok_callback_twice", [SUCCEEDED] * 2),
            ("tok_callback_twenty", [SUCCEEDED] * 20),
            ("tok_callback_before_answer", [SUCCEEDED]),
            ("tok_never", []),
            ("tok_contradictory", [FAILED, SUCCEEDED]),
            ("tok_wrong_amount", [("payment.succeeded", 4_501, "GBP", Signature.VALID)]),
            ("tok_wrong_currency", [("payment.succeeded", 4_500, "EUR", Signature.VALID)]),
            ("tok_bad_signature", [("payment.succeeded", 4_500, "GBP", Signature.INVALID)]),
            ("tok_old_timestamp", [("payment.succeeded", 4_500, "GBP", Signature.EXPIRED)]),
        ],
    )
    def test_state_a_charge_as_its_behaviour_distorts_it(self, bench: Bench, token: str, expected: list) -> None:
        bench.paid(token)

        data = [(body["type"], body["data"]["amount"], body["data"]["currency"]) for body in bench.sent_bodies()]
        assert [(*fields, sent.detail["signature"]) for fields, sent in zip(data, bench.sent, strict=True)] == expected

    @pytest.mark.parametrize("token", ["tok_callback_twice", "tok_callback_twenty"])
    def test_repeat_the_same_id_and_body_at_once(self, bench: Bench, token: str) -> None:
        bench.paid(token)

        assert len({(webhook.key, webhook.detail["body"], webhook.due) for webhook in bench.sent}) == 1

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
        assert (unknown["status"], unknown["amount"]) == ("succeeded", 4_500)

    def test_state_an_earlier_status_after_the_present_one(self, bench: Bench) -> None:
        bench.paid("tok_callback_reordered")

        assert bench.sent_types() == ["payment.succeeded", "payment.processing"]
        assert bench.sent[1].due - bench.sent[0].due == timedelta(seconds=0.5)
        first, second = bench.sent_bodies()
        assert first["timestamp"] > second["timestamp"]

    @pytest.mark.parametrize("name", [name for name in CHARGE_FAULTS if name not in OTHERS])
    def test_come_from_faults_that_are_counted(self, bench: Bench, name: str) -> None:
        bench.charge(BEHAVIOURS[name].token)
        bench.wait(1_200)

        assert bench.processor.find("charge-1").status == "succeeded"
        assert bench.ledger.faults() == {name: 1}
