"""
Money that is refunded twice, not at all, or only in our books, numbered as in the list of failures.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from payments import refunds
from payments.gateway.protocol import TimedOut
from payments.models import PaymentIntent, Refund
from tests.factories import make_stock
from tests.journeys.story import letters, place, shelf, story
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows
from tests.payments.scenes import charge_elsewhere, deliver, request_refund

pytestmark = pytest.mark.django_db

LATER = timedelta(minutes=10)
KEPT, SURPLUS = CaptureRow(10_000), CaptureRow(10_000, surplus=True, returned=10_000)
TWICE = RefundRow(10_000, "succeeded", "paid twice")


@pytest.fixture
def order(api, drain, ledger) -> str:
    """
    An order that paid 100.00 GBP.
    """
    make_stock(1, price=10_000)
    order = place(api, price=10_000)
    drain()
    return order


def give_back(amount: int) -> Refund:
    return request_refund(PaymentIntent.objects.get().order_id, amount)


class TestF14RefundsBeyondTheCapture:
    def test_the_second_60_of_100_is_rejected(self, api, drain, ledger, order):
        give_back(6_000)

        with pytest.raises(refunds.RefundExceedsCapture, match=r"between 0\.01 GBP and 40\.00 GBP"):
            give_back(6_000)
        drain()

        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(6_000)
        assert story(api, order)[-1] == "confirmed"
        assert api.get(order).json()["refunded"] == 6_000
        assert [refund.amount for refund in ledger.refunded.values()] == [6_000]


class TestF14UnfinishedRefunds:
    def test_a_refused_one_does_not_count_until_it_is_requested_again(self, api, drain, ledger):
        make_stock(1, price=10_000)
        order = place(api, price=10_000, payment_method="tok_refund_declined")
        drain()
        give_back(10_000)

        drain()
        assert (story(api, order)[-1], api.get(order).json()["refunded"]) == ("confirmed", 0)
        assert letters() == ["Your order is confirmed", "The gateway rejected a refund:"]

        give_back(10_000)
        drain()
        assert (story(api, order)[-1], api.get(order).json()["refunded"]) == ("refunded", 10_000)
        assert refund_rows() == [RefundRow(10_000, "failed"), RefundRow(10_000, "succeeded")]
        assert letters()[2:] == ["A refund for your order"]

    def test_an_unknown_one_is_repeated_with_its_own_key(self, api, drain, ledger, order):
        ledger.script.append(TimedOut("no answer"))
        refund = give_back(6_000)

        drain()
        assert refund_rows() == [RefundRow(6_000, "unknown")]
        assert api.get(order).json()["refunded"] == 0
        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(6_000)

        drain(after=LATER)
        assert refund_rows() == [RefundRow(6_000, "succeeded")]
        assert api.get(order).json()["refunded"] == 6_000
        assert (ledger.calls["refund"], list(ledger.refunded)) == (2, [str(refund.pk)])

    def test_one_whose_worker_died_is_made_once(self, api, drain, ledger, order):
        ledger.script.append(KeyboardInterrupt())
        refund = give_back(6_000)
        with pytest.raises(KeyboardInterrupt):
            drain()

        drain(after=LATER)

        assert api.get(order).json()["refunded"] == 6_000
        assert list(ledger.refunded) == [str(refund.pk)]


class TestF16PaidTwice:
    def test_the_first_is_kept_and_all_others_are_refunded(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        for key in ("second", "third"):
            deliver(ledger, charge_elsewhere(ledger, intent, key=key), now=timezone.now())
            drain()

        assert capture_rows() == [KEPT, SURPLUS, SURPLUS]
        assert refund_rows() == [TWICE, TWICE]
        assert [refund.charge for refund in ledger.refunded.values()] == ["second", "third"]
        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (api.get(order).json()["refunded"], shelf()) == (0, (0, 0))
        assert sorted(letters()) == [
            *["A refund for your order"] * 2,
            *["An order was paid twice:"] * 2,
            "Your order is confirmed",
        ]

    def test_our_own_charge_is_kept_though_it_is_second(self, api, drain, ledger):
        make_stock(1, price=10_000)
        order = place(api, price=10_000, payment_method="tok_pending")
        drain()
        intent = PaymentIntent.objects.get()
        deliver(ledger, charge_elsewhere(ledger, intent), now=timezone.now())
        drain()
        assert story(api, order)[-1] == "awaiting_payment"

        ledger.approve(str(intent.pk))
        drain(after=timedelta(minutes=16))

        assert capture_rows() == [SURPLUS, KEPT]
        assert letters().count("Your order is awaiting payment") <= 1
        assert (story(api, order)[-1], refund_rows()) == ("confirmed", [TWICE])

    def test_everything_is_refunded_when_an_operator_requests_it(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        deliver(ledger, charge_elsewhere(ledger, intent), now=timezone.now())
        drain()

        refunds.refund(str(intent.order_id), reason="by the shop", now=timezone.now())
        drain()

        assert (story(api, order)[-1], api.get(order).json()["refunded"]) == ("refunded", 10_000)
        assert [refund.charge for refund in ledger.refunded.values()] == ["second", str(intent.pk)]
