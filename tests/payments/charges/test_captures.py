import pytest

from messaging.contracts import PaymentAnomalyFound, PaymentFailed
from payments.charges.captures import record_captures
from payments.models import Refund
from tests.outbox import announced, published
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows
from tests.payments.charges.scenes import ENDED, PAID, PAID_AGAIN, apply_to, intent_that_is, paid_in
from tests.payments.scenes import NOON

pytestmark = pytest.mark.django_db

KEPT, RETURNED = CaptureRow(4_500), CaptureRow(4_500, returned=4_500)
SURPLUS = CaptureRow(4_500, surplus=True, returned=4_500)
LATE = RefundRow(4_500, "pending", "paid when the order was over")
TWICE = RefundRow(4_500, "pending", "paid twice")


def anomalies() -> list[tuple[str, int, str, str]]:
    return [(event.anomaly, event.amount, event.currency, event.detail) for event in published(PaymentAnomalyFound)]


class TestCapturesOfAnEndedPayment:
    def test_are_recorded_once(self):
        intent = apply_to(intent_that_is("succeeded"), PAID, PAID, paid_in(4_500, "GBP"))

        assert (intent.status, announced(), capture_rows(), refund_rows()) == ("succeeded", {}, [KEPT], [])

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_are_refunded_once_when_they_are_late(self, status):
        intent = apply_to(intent_that_is(status), PAID, PAID)

        assert (intent.status, capture_rows(), refund_rows()) == (status, [RETURNED], [LATE])
        assert anomalies() == [("paid_late", 4_500, "GBP", "ch_1")]
        assert announced() == {"payments.payment_anomaly_found": 1, "payments.refund_requested": 1}

    def test_are_refunded_once_when_they_are_duplicates(self):
        intent = apply_to(intent_that_is("succeeded"), PAID_AGAIN, PAID_AGAIN)

        assert (intent.status, capture_rows(), refund_rows()) == ("succeeded", [KEPT, SURPLUS], [TWICE])
        assert anomalies() == [("paid_twice", 4_500, "GBP", "ch_2")]

    def test_are_refunded_when_they_are_late_and_duplicates(self):
        apply_to(intent_that_is("cancelled"), PAID, PAID_AGAIN)

        assert (capture_rows(), refund_rows()) == ([RETURNED, SURPLUS], [LATE, TWICE])

    @pytest.mark.parametrize("status", ENDED)
    def test_are_refunded_when_they_are_of_another_amount(self, status):
        intent = apply_to(intent_that_is(status), paid_in(1, "GBP", reference="ch_2"))

        assert intent.status == status
        assert capture_rows()[-1] == CaptureRow(1, surplus=True, returned=1)
        assert refund_rows() == [RefundRow(1, "pending", "not what the order costs")]

    def test_are_refunded_when_the_order_costs_nothing(self):
        intent = intent_that_is("succeeded", amount=0)

        record_captures({intent: paid_in(500, "GBP")}, now=NOON)

        assert capture_rows() == [CaptureRow(500, surplus=True, returned=500)]
        assert refund_rows() == [RefundRow(500, "pending", "not what the order costs")]


@pytest.mark.parametrize(
    ("status", "answer", "cause"),
    [
        ("failed", PAID, "late"),
        ("succeeded", PAID_AGAIN, "double"),
        ("succeeded", paid_in(1, "GBP", reference="ch_2"), "wrong_amount"),
    ],
)
def test_refunds_say_their_cause(status, answer, cause):
    apply_to(intent_that_is(status), answer)

    assert [refund.cause for refund in Refund.objects.all()] == [cause]


class TestCapturesOfAnOpenPayment:
    def test_are_refunded_without_an_alert_when_it_was_withdrawn(self):
        intent = apply_to(intent_that_is("processing", withdrawn_at=NOON), PAID)

        assert (intent.status, capture_rows()) == ("succeeded", [RETURNED])
        assert refund_rows() == [RefundRow(4_500, "pending", "paid after the order was cancelled")]
        assert Refund.objects.get().cause == "cancelled"
        assert anomalies() == []

    @pytest.mark.parametrize(("amount", "currency"), [(4_499, "GBP"), (4_501, "GBP"), (4_500, "USD"), (1, "JPY")])
    def test_fail_it_and_are_refunded_when_they_are_of_another_amount(self, amount, currency):
        intent = apply_to(intent_that_is("processing"), paid_in(amount, currency), paid_in(amount, currency))

        assert (intent.status, capture_rows()) == (
            "failed",
            [CaptureRow(amount, currency, surplus=True, returned=amount)],
        )
        assert refund_rows() == [RefundRow(amount, "pending", "not what the order costs")]
        assert anomalies() == [("mismatch", amount, currency, "ch_1")]
        assert published(PaymentFailed) == [PaymentFailed(order_id=str(intent.order_id), reason="mismatch")]

    def test_of_nothing_fail_it_without_a_record(self):
        intent = apply_to(intent_that_is("processing"), paid_in(0, "GBP"))

        assert (intent.status, capture_rows(), announced()) == ("failed", [], {"payments.payment_failed": 1})

    def test_by_another_charge_leave_room_for_its_own(self):
        intent = intent_that_is("processing")

        record_captures({intent: PAID_AGAIN}, now=NOON)
        apply_to(intent, PAID)

        assert (intent.status, capture_rows(), refund_rows()) == ("succeeded", [SURPLUS, KEPT], [TWICE])
