import pytest

from messaging import contracts
from messaging.subscribers import PartlyUnavailable
from payments.charges import services
from payments.gateway.protocol import TimedOut, Unreachable
from payments.models import PaymentIntent, Refund
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published
from tests.payments.scenes import NOON, dues_of, payment_requested, status_of

pytestmark = pytest.mark.django_db


def expired(request: contracts.PaymentRequested) -> contracts.PaymentFailed:
    return contracts.PaymentFailed(order_id=request.order_id, reason="expired")


class TestCollect:
    def test_charges_the_amount_and_announces_it(self, ledger):
        asked = payment_requested()

        services.collect([asked], now=NOON)

        (charge,) = ledger.captured.values()
        intent = PaymentIntent.objects.get()
        assert (charge.amount, charge.currency, charge.payment_method) == (4_500, "GBP", "tok_visa")
        assert charge.idempotency_key == str(intent.pk)
        assert (intent.status, intent.provider_reference) == ("succeeded", f"instant-{intent.pk}")
        assert intent.customer_id == "17"
        assert published(contracts.PaymentSucceeded) == [
            contracts.PaymentSucceeded(order_id=asked.order_id, amount=4_500, currency="GBP")
        ]

    def test_announces_that_it_was_declined(self, ledger):
        asked = payment_requested(payment_method="tok_declined")

        services.collect([asked], now=NOON)

        assert status_of(asked) == "failed"
        assert published(contracts.PaymentFailed) == [
            contracts.PaymentFailed(order_id=asked.order_id, reason="declined", detail="card_declined")
        ]

    def test_waits_for_a_customer_who_still_has_to_agree(self, ledger):
        asked = payment_requested(payment_method="tok_pending")

        services.collect([asked], now=NOON)

        assert status_of(asked) == "processing"
        assert announced() == {}

    def test_takes_nothing_as_paid_without_asking_the_gateway(self, ledger):
        asked = payment_requested(amount=0, payment_method="tok_declined")

        services.collect([asked], now=NOON)

        assert status_of(asked) == "succeeded"
        assert ledger.calls == {}
        assert announced() == {"payments.payment_succeeded": 1}

    def test_charges_once_however_often_it_is_told(self, ledger):
        asked = payment_requested()

        services.collect([asked], now=NOON)
        services.collect([asked], now=NOON)

        assert ledger.calls == {"charge": 1}
        assert announced() == {"payments.payment_succeeded": 1}

    def test_charges_again_by_the_same_key_when_it_died_before_it_heard(self, ledger):
        asked = payment_requested()
        ledger.script.append(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            services.collect([asked], now=NOON)

        services.collect([asked], now=NOON)

        assert ledger.calls == {"charge": 2}
        assert list(ledger.captured) == [str(PaymentIntent.objects.get().pk)]
        assert status_of(asked) == "succeeded"

    def test_settles_the_others_when_one_could_not_be_asked(self, ledger):
        ledger.script.append(Unreachable("Connection refused."))
        requests = [payment_requested(), payment_requested(), payment_requested()]

        with pytest.raises(
            PartlyUnavailable, match=r"No final answer from the gateway to 1 calls: Connection refused\."
        ):
            services.collect(requests, now=NOON)

        assert sorted(map(status_of, requests)) == ["processing", "succeeded", "succeeded"]
        assert announced() == {"payments.payment_succeeded": 2}

    def test_does_not_charge_what_is_withdrawn_already(self, ledger):
        asked = payment_requested()
        services.stop(dues_of(asked), now=NOON)

        services.collect([asked], now=NOON)

        assert status_of(asked) == "cancelled"
        assert ledger.calls == {}

    def test_costs_as_many_statements_for_two_hundred_as_for_two(self, ledger):
        with counting_statements() as for_two:
            services.collect([payment_requested(), payment_requested()], now=NOON)
        with counting_statements() as for_many:
            services.collect([payment_requested() for _ in range(200)], now=NOON)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))


class TestSettleOverdue:
    def test_withdraws_an_unpaid_payment_and_fails_it_as_expired(self, ledger):
        asked = payment_requested(payment_method="tok_pending")
        services.collect([asked], now=NOON)

        services.settle_overdue(dues_of(asked), now=NOON)

        assert status_of(asked) == "cancelled"
        assert ledger.cancelled == {str(PaymentIntent.objects.get().pk)}
        assert published(contracts.PaymentFailed) == [expired(asked)]

    def test_finds_out_that_it_was_paid_after_all(self, ledger):
        asked = payment_requested(payment_method="tok_timeout")
        services.collect([asked], now=NOON)

        services.settle_overdue(dues_of(asked), now=NOON)

        assert status_of(asked) == "succeeded"
        assert len(published(contracts.PaymentSucceeded)) == 1
        assert published(contracts.PaymentFailed) == []

    def test_expires_a_payment_that_was_never_opened_and_charges_it_never(self, ledger):
        asked = payment_requested()

        services.settle_overdue(dues_of(asked), now=NOON)
        services.settle_overdue(dues_of(asked), now=NOON)
        services.collect([asked], now=NOON)

        assert status_of(asked) == "cancelled"
        assert ledger.calls == {}
        assert published(contracts.PaymentFailed) == [expired(asked)]

    @pytest.mark.parametrize("silence", [Unreachable(), TimedOut()], ids=["unreachable", "timed out"])
    def test_waits_for_a_silent_gateway_and_settles_the_others(self, ledger, silence):
        requests = [payment_requested(payment_method="tok_pending") for _ in range(3)]
        services.collect(requests, now=NOON)
        ledger.script.append(silence)

        with pytest.raises(PartlyUnavailable):
            services.settle_overdue(dues_of(*requests), now=NOON)

        assert sorted(map(status_of, requests)) == ["cancelled", "cancelled", "processing"]
        assert announced() == {"payments.payment_failed": 2}

    def test_leaves_ended_payments_alone(self, ledger):
        paid, declined = payment_requested(), payment_requested(payment_method="tok_declined")
        services.collect([paid, declined], now=NOON)
        before = announced()

        services.settle_overdue(dues_of(paid, declined), now=NOON)

        assert (status_of(paid), status_of(declined)) == ("succeeded", "failed")
        assert announced() == before
        assert ledger.calls["cancel"] == 0


class TestStop:
    def test_costs_as_many_statements_for_two_hundred_as_for_two(self, ledger):
        few, many = [payment_requested() for _ in range(2)], [payment_requested() for _ in range(200)]
        services.collect([*few, *many], now=NOON)

        with counting_statements() as for_two:
            services.stop(dues_of(*few), now=NOON)
        with counting_statements() as for_many:
            services.stop(dues_of(*many), now=NOON)

        assert Refund.objects.count() == 202
        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))

    def test_refunds_what_was_captured(self, ledger):
        asked = payment_requested()
        services.collect([asked], now=NOON)

        services.stop(dues_of(asked), now=NOON)

        refund = Refund.objects.get()
        assert (refund.amount, refund.status, refund.reason) == (4_500, "pending", "order cancelled")
        assert published(contracts.RefundRequested) == [
            contracts.RefundRequested(order_id=asked.order_id, refund_id=str(refund.pk))
        ]

    def test_refunds_once_however_often_it_is_told(self, ledger):
        asked = payment_requested()
        services.collect([asked], now=NOON)

        services.stop(dues_of(asked), now=NOON)
        services.stop(dues_of(asked), now=NOON)

        assert Refund.objects.count() == 1

    def test_withdraws_what_is_on_its_way(self, ledger, drain):
        asked = payment_requested(payment_method="tok_pending")
        services.collect([asked], now=NOON)

        services.stop(dues_of(asked), now=NOON)
        drain()

        assert status_of(asked) == "cancelled"
        assert ledger.calls == {"charge": 1, "cancel": 1}
        assert published(contracts.PaymentFailed) == []

    def test_refunds_money_that_arrives_after_all(self, ledger, drain):
        asked = payment_requested(payment_method="tok_timeout")
        services.collect([asked], now=NOON)

        services.stop(dues_of(asked), now=NOON)
        drain()

        assert status_of(asked) == "succeeded"
        assert [refund.amount for refund in ledger.refunded.values()] == [4_500]
        assert Refund.objects.get().reason == "paid after the order was cancelled"

    def test_gives_nothing_back_when_nothing_was_to_be_paid(self, ledger, drain):
        asked = payment_requested(amount=0)
        services.collect([asked], now=NOON)

        services.stop(dues_of(asked), now=NOON)
        drain()

        assert not Refund.objects.exists()
        assert ledger.calls == {}
