import pytest

from messaging.contracts import PaymentFailed, PaymentSucceeded, RefundRequested
from messaging.subscribers import PartlyUnavailable
from payments.charges import services
from payments.gateway.protocol import TimedOut, Unreachable
from payments.models import PaymentIntent, Refund
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published
from tests.payments.books import RefundRow, refund_rows
from tests.payments.scenes import NOON, collected, dues_of, payment_requested, status_of

pytestmark = pytest.mark.django_db


class TestCollect:
    def test_charges_the_amount_and_publishes_the_success(self, ledger):
        request = collected()

        (charge,) = ledger.captured.values()
        intent = PaymentIntent.objects.get()
        assert (charge.charge, charge.amount, charge.currency) == (str(intent.pk), 4_500, "GBP")
        assert (intent.status, intent.provider_reference) == ("succeeded", f"instant-{intent.pk}")
        assert intent.customer_id == "17"
        assert published(PaymentSucceeded) == [
            PaymentSucceeded(order_id=request.order_id, amount=4_500, currency="GBP")
        ]

    @pytest.mark.parametrize(
        ("changes", "status", "events", "calls"),
        [
            ({"payment_method": "tok_declined"}, "failed", {"payments.payment_failed": 1}, {"charge": 1}),
            ({"payment_method": "tok_pending"}, "processing", {}, {"charge": 1}),
            ({"amount": 0, "payment_method": "tok_declined"}, "succeeded", {"payments.payment_succeeded": 1}, {}),
        ],
        ids=["declined", "still to be authorized", "nothing to pay"],
    )
    def test_leaves_a_payment_as_the_gateway_answers(self, ledger, changes, status, events, calls):
        request = collected(**changes)

        assert (status_of(request), announced(), ledger.calls) == (status, events, calls)

    def test_charges_once_when_the_request_is_repeated(self, ledger):
        request = collected()

        services.collect([request], now=NOON)

        assert ledger.calls == {"charge": 1}
        assert announced() == {"payments.payment_succeeded": 1}

    def test_charges_the_others_when_the_gateway_is_unreachable_for_one(self, ledger):
        ledger.script.append(Unreachable("Connection refused."))
        requests = [payment_requested(), payment_requested(), payment_requested()]

        with pytest.raises(
            PartlyUnavailable, match=r"No final answer from the gateway to 1 calls: Connection refused\."
        ):
            services.collect(requests, now=NOON)

        assert sorted(map(status_of, requests)) == ["processing", "succeeded", "succeeded"]
        assert announced() == {"payments.payment_succeeded": 2}

    def test_does_not_charge_a_withdrawn_payment(self, ledger):
        request = payment_requested()
        services.stop(dues_of(request), now=NOON)

        services.collect([request], now=NOON)

        assert status_of(request) == "cancelled"
        assert ledger.calls == {}

    def test_takes_as_many_statements_for_two_hundred_as_for_two(self, ledger):
        with counting_statements() as for_two:
            services.collect([payment_requested(), payment_requested()], now=NOON)
        with counting_statements() as for_many:
            services.collect([payment_requested() for _ in range(200)], now=NOON)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))


class TestSettleOverdue:
    def test_withdraws_an_unpaid_payment_and_fails_it_as_expired(self, ledger):
        request = collected("tok_pending")

        services.settle_overdue(dues_of(request), now=NOON)

        assert status_of(request) == "cancelled"
        assert ledger.cancelled.keys() == {str(PaymentIntent.objects.get().pk)}
        assert published(PaymentFailed) == [PaymentFailed(order_id=request.order_id, reason="expired")]

    def test_lets_a_payment_succeed_that_was_captured_after_all(self, ledger):
        request = collected("tok_timeout")

        services.settle_overdue(dues_of(request), now=NOON)

        assert status_of(request) == "succeeded"
        assert len(published(PaymentSucceeded)) == 1
        assert published(PaymentFailed) == []

    def test_expires_a_payment_that_was_never_opened_and_never_charges_it(self, ledger):
        request = payment_requested()

        services.settle_overdue(dues_of(request), now=NOON)
        services.settle_overdue(dues_of(request), now=NOON)
        services.collect([request], now=NOON)

        assert status_of(request) == "cancelled"
        assert ledger.calls == {}
        assert published(PaymentFailed) == [PaymentFailed(order_id=request.order_id, reason="expired")]

    @pytest.mark.parametrize("silence", [Unreachable(), TimedOut()], ids=["unreachable", "timed out"])
    def test_defers_a_payment_about_which_the_gateway_is_silent_and_ends_the_others(self, ledger, silence):
        requests = [payment_requested(payment_method="tok_pending") for _ in range(3)]
        services.collect(requests, now=NOON)
        ledger.script.append(silence)

        with pytest.raises(PartlyUnavailable):
            services.settle_overdue(dues_of(*requests), now=NOON)

        assert sorted(map(status_of, requests)) == ["cancelled", "cancelled", "processing"]
        assert announced() == {"payments.payment_failed": 2}

    def test_leaves_ended_payments_alone(self, ledger):
        paid, declined = collected(), collected("tok_declined")
        before = announced()

        services.settle_overdue(dues_of(paid, declined), now=NOON)

        assert (status_of(paid), status_of(declined)) == ("succeeded", "failed")
        assert announced() == before
        assert ledger.calls["cancel"] == 0


class TestStop:
    def test_refunds_once_what_was_captured(self, ledger):
        request = collected()

        services.stop(dues_of(request), now=NOON)
        services.stop(dues_of(request), now=NOON)

        refund = Refund.objects.get()
        assert refund_rows() == [RefundRow(4_500, "pending", "order cancelled")]
        assert published(RefundRequested) == [RefundRequested(order_id=request.order_id, refund_id=str(refund.pk))]

    def test_refunds_nothing_of_a_payment_of_nothing(self, ledger, drain):
        request = collected(amount=0)

        services.stop(dues_of(request), now=NOON)
        drain()

        assert refund_rows() == []
        assert ledger.calls == {}

    def test_takes_as_many_statements_for_two_hundred_as_for_two(self, ledger):
        few, many = ([payment_requested() for _ in range(size)] for size in (2, 200))
        services.collect([*few, *many], now=NOON)

        with counting_statements() as for_two:
            services.stop(dues_of(*few), now=NOON)
        with counting_statements() as for_many:
            services.stop(dues_of(*many), now=NOON)

        assert Refund.objects.count() == 202
        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
