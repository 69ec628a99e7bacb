from itertools import accumulate

import pytest

from messaging.contracts import PaymentAnomalyFound, PaymentRefunded
from messaging.subscribers import NotReady, PartlyUnavailable
from payments import refunds
from payments.gateway.protocol import Answer, Outcome, TimedOut, Unreachable
from payments.models import Capture, PaymentIntent, Refund
from tests.outbox import allowed_for_a_hundredfold, counting_statements, published
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows
from tests.payments.scenes import CONTACT, NOON, charge_elsewhere, collect, deliver, request_refund

pytestmark = pytest.mark.django_db


@pytest.fixture
def paid(ledger) -> str:
    """The id of an order that paid 100.00 GBP."""
    return str(collect(amount=10_000).order_id)


def add_surplus(order_id: str, amount: int, currency: str = "GBP") -> None:
    intent = PaymentIntent.objects.get(order_id=order_id)
    fields = {"reference": "ch_2", "amount": amount, "currency": currency, "surplus": True}
    Capture.objects.create(intent=intent, captured_at=NOON, **fields)


class TestRefund:
    def test_refunds_an_amount_and_publishes_it(self, paid, ledger, drain):
        refund = request_refund(paid, 6_000)

        drain()

        (sent,) = ledger.refunded.values()
        assert (sent.key, sent.amount, sent.currency) == (str(refund.pk), 6_000, "GBP")
        assert list(ledger.captured) == [sent.charge]
        assert published(PaymentRefunded) == [
            PaymentRefunded(
                order_id=paid,
                refund_id=str(refund.pk),
                amount=6_000,
                currency="GBP",
                email="ada@example.com",
                customer_id="17",
                reason="a scratch",
                **CONTACT,
                order_total=10_000,
                refunded=6_000,
                cause="operator",
            )
        ]
        refund.refresh_from_db()
        assert (refund.status, refund.provider_reference) == ("succeeded", f"instant-{refund.pk}")

    @pytest.mark.parametrize("parts", [[5_000, 1_000, 2_500, 500, 1_000], [3_299, 1, 6_700]])
    def test_refunds_in_parts_and_never_more_than_was_captured(self, paid, ledger, drain, parts):
        for number, part in enumerate(parts):
            rest = 10_000 - sum(parts[:number])
            with pytest.raises(refunds.RefundExceedsCapture, match=rf"between 0\.01 GBP and {rest / 100:.2f} GBP"):
                request_refund(paid, rest + 1)
            request_refund(paid, part)
        drain()

        with pytest.raises(refunds.RefundExceedsCapture, match="Nothing of this order is left"):
            request_refund(paid, 1)
        assert capture_rows() == [CaptureRow(10_000, returned=10_000)]
        assert sorted(sent.amount for sent in ledger.refunded.values()) == sorted(parts)
        sums = list(accumulate(event.amount for event in published(PaymentRefunded)))
        assert [event.refunded for event in published(PaymentRefunded)] == sums

    @pytest.mark.parametrize("amount", [0, -1, 10_001])
    def test_rejects_an_amount_that_is_not_refundable(self, paid, amount):
        with pytest.raises(refunds.RefundExceedsCapture):
            request_refund(paid, amount)

        assert refund_rows() == []

    def test_rejects_an_order_that_paid_nothing(self, ledger):
        with pytest.raises(refunds.RefundExceedsCapture):
            request_refund(collect("tok_declined").order_id, 1)

    def test_refunds_the_rest_surplus_captures_first(self, paid):
        request_refund(paid, 6_000)
        add_surplus(paid, 700, "USD")

        for _ in range(2):
            refunds.refund(paid, reason="by the shop", now=NOON)

        assert refund_rows() == [
            RefundRow(6_000, "pending"),
            RefundRow(700, "pending", "by the shop"),
            RefundRow(4_000, "pending", "by the shop"),
        ]
        assert capture_rows() == [
            CaptureRow(10_000, returned=10_000),
            CaptureRow(700, "USD", surplus=True, returned=700),
        ]

    def test_counts_no_surplus_as_refunded_of_the_order(self, paid, ledger, drain):
        request_refund(paid, 6_000)
        drain()

        deliver(charge_elsewhere(ledger, PaymentIntent.objects.get(order_id=paid)))
        drain()

        events = [(event.amount, event.cause, event.refunded) for event in published(PaymentRefunded)]
        assert events == [(6_000, "operator", 6_000), (10_000, "double", 6_000)]

    def test_takes_an_amount_from_the_capture_that_the_order_requested(self, paid):
        add_surplus(paid, 20_000)

        with pytest.raises(refunds.RefundExceedsCapture, match=r"between 0\.01 GBP and 100\.00 GBP"):
            request_refund(paid, 10_001)

        request_refund(paid, 10_000)
        with pytest.raises(refunds.RefundExceedsCapture, match="Nothing of this order is left"):
            request_refund(paid, 1)
        assert capture_rows() == [CaptureRow(10_000, returned=10_000), CaptureRow(20_000, surplus=True)]


class TestSend:
    def test_makes_an_amount_refundable_again_and_alerts_the_operator_when_it_is_refused(self, ledger, drain):
        refused = str(collect("tok_refund_declined", amount=10_000).order_id)
        request_refund(refused, 10_000)

        drain()

        assert refund_rows() == [RefundRow(10_000, "failed")]
        assert Refund.objects.get().failure_reason == "account_closed"
        assert capture_rows() == [CaptureRow(10_000)]
        assert published(PaymentRefunded) == []
        assert published(PaymentAnomalyFound) == [
            PaymentAnomalyFound(
                order_id=refused,
                anomaly="refund_refused",
                amount=10_000,
                currency="GBP",
                detail="account_closed",
                number="K7Q4-M2X0",
            )
        ]

    @pytest.mark.parametrize(
        ("silence", "status"), [(TimedOut(), "unknown"), (Unreachable(), "pending")], ids=["silent", "away"]
    )
    def test_repeats_a_refund_with_the_same_key_only_until_the_gateway_answers(self, paid, ledger, silence, status):
        refund = request_refund(paid, 6_000)
        ledger.script.extend([silence, silence])
        for _ in range(2):
            with pytest.raises(PartlyUnavailable):
                refunds.send([str(refund.pk)], now=NOON)
        assert refund_rows() == [RefundRow(6_000, status)]
        with pytest.raises(refunds.RefundExceedsCapture):
            request_refund(paid, 4_001)

        for _ in range(2):
            refunds.send([str(refund.pk)], now=NOON)

        assert list(ledger.refunded) == [str(refund.pk)]
        assert ledger.calls["refund"] == 3
        assert refund_rows() == [RefundRow(6_000, "succeeded")]
        assert len(published(PaymentRefunded)) == 1

    def test_sends_the_others_when_one_is_not_answered(self, paid, ledger):
        both = [request_refund(paid, 1_000), request_refund(paid, 1_000)]
        ledger.script.append(TimedOut())

        with pytest.raises(PartlyUnavailable):
            refunds.send([str(refund.pk) for refund in both], now=NOON)

        assert sorted(row.status for row in refund_rows()) == ["succeeded", "unknown"]

    def test_defers_a_refund_that_the_gateway_has_not_decided(self, paid, ledger, monkeypatch):
        refund = request_refund(paid, 6_000)
        monkeypatch.setattr(ledger, "refund", lambda _: Answer(outcome=Outcome.PROCESSING))

        with pytest.raises(NotReady) as deferral:
            refunds.send([str(refund.pk)], now=NOON)

        assert list(deferral.value.keys) == [paid]
        assert refund_rows() == [RefundRow(6_000, "pending")]


class TestApplyReplies:
    def test_decides_each_of_two_refunds_of_one_capture(self, paid):
        refused, made = request_refund(paid, 6_000), request_refund(paid, 1_000)

        replies = {refused.pk: Answer(outcome=Outcome.DECLINED), made.pk: Answer(outcome=Outcome.SUCCEEDED)}
        refunds.apply_replies(replies, now=NOON)

        assert refund_rows() == [RefundRow(6_000, "failed"), RefundRow(1_000, "succeeded")]
        assert capture_rows() == [CaptureRow(10_000, returned=1_000)]

    @pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.DECLINED])
    def test_takes_as_many_statements_for_two_hundred_as_for_two(self, paid, outcome):
        few, many = ([request_refund(paid, 1) for _ in range(size)] for size in (2, 200))
        answer = Answer(outcome=outcome)

        with counting_statements() as for_two:
            refunds.apply_replies({refund.pk: answer for refund in few}, now=NOON)
        with counting_statements() as for_many:
            refunds.apply_replies({refund.pk: answer for refund in many}, now=NOON)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert capture_rows() == [CaptureRow(10_000, returned=202 if outcome is Outcome.SUCCEEDED else 0)]
