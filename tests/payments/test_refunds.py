from datetime import UTC, datetime

import pytest
from django.core import mail

from messaging import contracts
from messaging.subscribers import NotReady, PartlyUnavailable
from payments import refunds
from payments.charges import services
from payments.gateway import protocol
from payments.gateway.protocol import Answer, Outcome, RefundRequest, TimedOut, Unreachable
from payments.models import Capture, PaymentIntent, Refund
from tests.gateways import LedgerGateway
from tests.outbox import allowed_for_a_hundredfold, counting_statements, published
from tests.payments.scenes import captured, given_back, payment_requested

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def paid(ledger) -> str:
    """
    The id of an order that paid 100.00 GBP.
    """
    asked = payment_requested(amount=10_000)
    services.collect([asked], now=NOON)
    return asked.order_id


class RefusingGateway(LedgerGateway):
    def refund(self, request: RefundRequest) -> Answer:
        return Answer(outcome=Outcome.DECLINED, reason="card_closed")


def give_back(order_id: str, amount: int) -> Refund:
    (refund,) = refunds.refund(order_id, amount=amount, reason="a scratch", now=NOON)
    return refund


def statuses() -> list[tuple[int, str]]:
    return list(Refund.objects.order_by("pk").values_list("amount", "status"))


def surplus_of(order_id: str, amount: int, currency: str = "GBP") -> Capture:
    intent = PaymentIntent.objects.get(order_id=order_id)
    surplus = {"reference": "ch_2", "amount": amount, "currency": currency, "surplus": True}
    return Capture.objects.create(intent=intent, captured_at=NOON, **surplus)


class TestRefund:
    def test_gives_money_back_and_says_so(self, paid, ledger, drain):
        refund = give_back(paid, 6_000)

        drain()

        (sent,) = ledger.refunded.values()
        assert (sent.idempotency_key, sent.amount, sent.currency) == (str(refund.pk), 6_000, "GBP")
        assert [f"instant-{key}" for key in ledger.captured] == [sent.charge_reference]
        assert published(contracts.PaymentRefunded) == [
            contracts.PaymentRefunded(
                order_id=paid,
                refund_id=str(refund.pk),
                amount=6_000,
                currency="GBP",
                email="ada@example.com",
                customer_id="17",
                reason="a scratch",
            )
        ]
        refund.refresh_from_db()
        assert (refund.status, refund.provider_reference) == ("succeeded", f"instant-{refund.pk}")

    def test_gives_back_in_parts_and_never_more_than_was_captured(self, paid, ledger, drain):
        for part in (5_000, 1_000, 2_500, 500):
            give_back(paid, part)
        drain()

        with pytest.raises(refunds.RefundExceedsCapture, match=r"between 0\.01 GBP and 10\.00 GBP"):
            give_back(paid, 1_001)

        give_back(paid, 1_000)
        drain()
        assert sum(sent.amount for sent in ledger.refunded.values()) == 10_000

    @pytest.mark.parametrize("amount", [0, -1, 10_001])
    def test_refuses_an_amount_that_is_not_there_to_give(self, paid, amount):
        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(paid, amount)

        assert statuses() == []

    def test_counts_what_is_still_on_its_way(self, paid):
        give_back(paid, 6_000)

        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(paid, 6_000)

        assert statuses() == [(6_000, "pending")]

    def test_refuses_for_an_order_that_paid_nothing(self, ledger):
        declined = payment_requested(payment_method="tok_declined")
        services.collect([declined], now=NOON)

        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(declined.order_id, 1)

    def test_gives_all_that_is_left_back_first_of_what_no_order_asked_for(self, paid):
        give_back(paid, 6_000)
        surplus_of(paid, 700, "USD")

        for _ in range(2):
            refunds.refund(paid, reason="by the shop", now=NOON)

        assert given_back() == [
            (6_000, "pending", "a scratch"),
            (700, "pending", "by the shop"),
            (4_000, "pending", "by the shop"),
        ]
        assert captured() == [(10_000, "GBP", "", 10_000), (700, "USD", "surplus", 700)]

    def test_takes_an_amount_from_what_the_order_cost_alone(self, paid):
        surplus_of(paid, 20_000)

        with pytest.raises(refunds.RefundExceedsCapture, match=r"between 0\.01 GBP and 100\.00 GBP"):
            give_back(paid, 10_001)

        give_back(paid, 10_000)
        with pytest.raises(refunds.RefundExceedsCapture, match="Nothing of this order is left"):
            give_back(paid, 1)
        assert captured() == [(10_000, "GBP", "", 10_000), (20_000, "GBP", "surplus", 0)]

    def test_gives_back_in_uneven_parts_to_the_last_penny(self, drain, ledger):
        asked = payment_requested(amount=61)
        services.collect([asked], now=NOON)

        for part in (32, 9, 8, 3, 6, 3):
            give_back(asked.order_id, part)
        drain()

        with pytest.raises(refunds.RefundExceedsCapture, match="Nothing of this order is left"):
            give_back(asked.order_id, 1)
        assert captured() == [(61, "GBP", "", 61)]
        assert sorted(sent.amount for sent in ledger.refunded.values()) == [3, 3, 6, 8, 9, 32]


class TestSendRefunds:
    def test_frees_the_amount_that_the_gateway_refused(self, paid, drain, monkeypatch):
        give_back(paid, 10_000)
        monkeypatch.setattr(protocol, "current", RefusingGateway)

        drain()

        assert statuses() == [(10_000, "failed")]
        assert Refund.objects.get().failure_reason == "card_closed"
        assert captured() == [(10_000, "GBP", "", 0)]
        assert published(contracts.PaymentRefunded) == []
        give_back(paid, 10_000)

    def test_has_the_operator_told_of_what_the_gateway_refused(self, paid, drain, monkeypatch):
        give_back(paid, 6_000)
        monkeypatch.setattr(protocol, "current", RefusingGateway)

        drain()

        assert published(contracts.PaymentAnomalyFound) == [
            contracts.PaymentAnomalyFound(
                order_id=paid, anomaly="refund_refused", amount=6_000, currency="GBP", detail="card_closed"
            )
        ]
        assert [(sent.to, sent.subject) for sent in mail.outbox] == [
            (["operator@example.com"], f"The gateway refused a refund: {paid}")
        ]

    def test_frees_one_of_two_that_are_decided_together(self, paid):
        refused, sent = give_back(paid, 6_000), give_back(paid, 1_000)

        answers = {refused.pk: Answer(outcome=Outcome.DECLINED), sent.pk: Answer(outcome=Outcome.SUCCEEDED)}
        refunds.apply_replies(answers, now=NOON)

        assert statuses() == [(6_000, "failed"), (1_000, "succeeded")]
        assert captured() == [(10_000, "GBP", "", 1_000)]

    @pytest.mark.parametrize(
        ("silence", "meanwhile"),
        [(TimedOut(), "unknown"), (Unreachable(), "pending")],
        ids=["timed out", "unreachable"],
    )
    def test_asks_again_by_the_same_key_when_the_gateway_is_silent(self, paid, ledger, silence, meanwhile):
        refund = give_back(paid, 6_000)
        ledger.script.extend([silence, silence])
        for _ in range(2):
            with pytest.raises(PartlyUnavailable):
                refunds.send([str(refund.pk)], now=NOON)
        assert statuses() == [(6_000, meanwhile)]
        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(paid, 4_001)

        refunds.send([str(refund.pk)], now=NOON)

        assert list(ledger.refunded) == [str(refund.pk)]
        assert ledger.calls["refund"] == 3
        assert statuses() == [(6_000, "succeeded")]

    def test_settles_the_others_when_one_is_unanswered(self, paid, ledger):
        halves = [give_back(paid, 1_000), give_back(paid, 1_000)]
        ledger.script.append(TimedOut())

        with pytest.raises(PartlyUnavailable):
            refunds.send([str(refund.pk) for refund in halves], now=NOON)

        assert sorted(statuses()) == [(1_000, "succeeded"), (1_000, "unknown")]

    def test_asks_again_while_the_gateway_has_not_decided(self, paid, ledger, monkeypatch):
        refund = give_back(paid, 6_000)
        monkeypatch.setattr(ledger, "refund", lambda _: Answer(outcome=Outcome.PROCESSING))

        with pytest.raises(NotReady) as undecided:
            refunds.send([str(refund.pk)], now=NOON)

        assert list(undecided.value.keys) == [paid]
        assert statuses() == [(6_000, "pending")]

    def test_gives_back_once_however_often_it_is_told(self, paid, ledger):
        refund = give_back(paid, 6_000)

        refunds.send([str(refund.pk)], now=NOON)
        refunds.send([str(refund.pk)], now=NOON)

        assert ledger.calls["refund"] == 1
        assert len(published(contracts.PaymentRefunded)) == 1

    @pytest.mark.parametrize("said", [Outcome.SUCCEEDED, Outcome.DECLINED])
    def test_costs_as_many_statements_for_two_hundred_as_for_two(self, paid, said):
        few, many = ([give_back(paid, 1) for _ in range(size)] for size in (2, 200))
        answer = Answer(outcome=said)

        with counting_statements() as for_two:
            refunds.apply_replies({refund.pk: answer for refund in few}, now=NOON)
        with counting_statements() as for_many:
            refunds.apply_replies({refund.pk: answer for refund in many}, now=NOON)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert captured() == [(10_000, "GBP", "", 202 if said is Outcome.SUCCEEDED else 0)]
