"""
Money that goes back too often, not at all, or only on paper, numbered as in the list of failures.
"""

from datetime import timedelta

import pytest
from django.utils import timezone

from payments import refunds
from payments.gateway.protocol import Answer, Outcome, RefundRequest, TimedOut
from payments.models import PaymentIntent, Refund
from tests.factories import make_stock
from tests.gateways import LedgerGateway
from tests.journeys.story import letters, place, shelf, story
from tests.payments.scenes import captured, charge_elsewhere, deliver, given_back

pytestmark = pytest.mark.django_db

LATER = timedelta(minutes=10)
KEPT, SURPLUS = (10_000, "GBP", "", 0), (10_000, "GBP", "surplus", 10_000)


def give_back(amount: int) -> Refund:
    order_id = str(PaymentIntent.objects.get().order_id)
    (refund,) = refunds.refund(order_id, amount=amount, reason="a scratch", now=timezone.now())
    return refund


@pytest.fixture
def order(api, drain, ledger) -> str:
    """
    An order that paid 100.00 GBP.
    """
    make_stock(1, price=10_000)
    order = place(api, price=10_000)
    drain()
    return order


class RefusingOnce(LedgerGateway):
    """
    Refuses the first refund that it is asked for.
    """

    def refund(self, request: RefundRequest) -> Answer:
        if not self.calls["refund"]:
            self.calls["refund"] += 1
            return Answer(outcome=Outcome.DECLINED, reason="card_closed")
        return super().refund(request)


class TestF14RefundsBeyondWhatWasCaptured:
    def test_the_second_60_of_100_is_refused(self, api, drain, ledger, order):
        give_back(6_000)

        with pytest.raises(refunds.RefundExceedsCapture, match=r"between 0\.01 GBP and 40\.00 GBP"):
            give_back(6_000)
        drain()

        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(6_000)
        assert story(api, order)[-1] == "confirmed"
        assert api.get(order).json()["refunded"] == 6_000
        assert [it.amount for it in ledger.refunded.values()] == [6_000]

    @pytest.mark.parametrize("amount", [0, -1, -6_000])
    def test_nothing_and_less_is_refused(self, order, amount):
        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(amount)

        assert (captured(), given_back()) == ([KEPT], [])

    def test_what_is_left_goes_back_to_the_last_penny(self, api, drain, ledger, order):
        for part in (3_200, 900, 800, 300, 600, 300, 3_900):
            give_back(part)
        drain()

        with pytest.raises(refunds.RefundExceedsCapture, match="Nothing of this order is left"):
            give_back(1)
        assert story(api, order)[-1] == "refunded"
        assert sum(it.amount for it in ledger.refunded.values()) == 10_000


class TestF14RefundsThatAreNotDone:
    def test_a_refused_one_is_no_refund_until_it_is_made_again(self, api, drain, order, monkeypatch):
        gateway = RefusingOnce()
        monkeypatch.setattr("payments.gateway.protocol.current", lambda: gateway)
        give_back(10_000)

        drain()
        assert (story(api, order)[-1], api.get(order).json()["refunded"]) == ("confirmed", 0)
        assert letters() == ["Your order is confirmed", "The gateway refused a refund:"]

        give_back(10_000)
        drain()
        assert (story(api, order)[-1], api.get(order).json()["refunded"]) == ("refunded", 10_000)
        assert given_back() == [(10_000, "failed", "a scratch"), (10_000, "succeeded", "a scratch")]
        assert letters()[2:] == ["A refund for your order"]

    def test_an_unknown_one_is_asked_about_by_its_own_key(self, api, drain, ledger, order):
        ledger.script.append(TimedOut("no answer"))
        refund = give_back(6_000)

        drain()
        assert given_back() == [(6_000, "unknown", "a scratch")]
        assert api.get(order).json()["refunded"] == 0
        with pytest.raises(refunds.RefundExceedsCapture):
            give_back(6_000)

        drain(after=LATER)
        assert given_back() == [(6_000, "succeeded", "a scratch")]
        assert api.get(order).json()["refunded"] == 6_000
        assert (ledger.calls["refund"], list(ledger.refunded)) == (2, [str(refund.pk)])

    def test_one_whose_worker_died_goes_back_once(self, api, drain, ledger, order):
        ledger.script.append(KeyboardInterrupt())
        refund = give_back(6_000)
        with pytest.raises(KeyboardInterrupt):
            drain()

        drain(after=LATER)

        assert api.get(order).json()["refunded"] == 6_000
        assert list(ledger.refunded) == [str(refund.pk)]


class TestF16PaidTwice:
    def assert_one_is_kept(self, api, order: str, ledger: LedgerGateway) -> None:
        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (api.get(order).json()["refunded"], shelf()) == (0, (0, 0))
        assert given_back() == [(10_000, "succeeded", "paid twice")]
        assert [it.charge_reference for it in ledger.refunded.values()] == ["instant-second"]
        assert sorted(letters()) == [
            "A refund for your order",
            "An order was paid twice:",
            "Your order is confirmed",
        ]

    def test_the_first_is_kept_and_the_second_goes_back(self, api, drain, ledger, order):
        claim = charge_elsewhere(ledger, PaymentIntent.objects.get())

        deliver(ledger, claim, now=timezone.now())
        drain()

        self.assert_one_is_kept(api, order, ledger)
        assert captured() == [KEPT, SURPLUS]

    def test_our_own_is_kept_though_it_comes_second(self, api, drain, ledger):
        make_stock(1, price=10_000)
        order = place(api, price=10_000, payment_method="tok_pending")
        drain()
        intent = PaymentIntent.objects.get()
        deliver(ledger, charge_elsewhere(ledger, intent), now=timezone.now())
        drain()
        assert story(api, order)[-1] == "awaiting_payment"

        ledger.approve(str(intent.pk))
        drain(after=timedelta(minutes=16))

        assert captured() == [SURPLUS, KEPT]
        assert letters().count("Your order still awaits its payment") <= 1
        assert (story(api, order)[-1], given_back()) == ("confirmed", [(10_000, "succeeded", "paid twice")])

    def test_a_third_goes_back_too(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        for key in ("second", "third"):
            deliver(ledger, charge_elsewhere(ledger, intent, key=key), now=timezone.now())
        drain()

        assert sorted(captured()) == [KEPT, SURPLUS, SURPLUS]
        assert given_back() == [(10_000, "succeeded", "paid twice")] * 2
        assert story(api, order)[-1] == "confirmed"

    def test_all_that_came_goes_back_when_an_operator_says_so(self, api, drain, ledger, order):
        intent = PaymentIntent.objects.get()
        deliver(ledger, charge_elsewhere(ledger, intent), now=timezone.now())
        drain()

        refunds.refund(str(intent.order_id), reason="by the shop", now=timezone.now())
        drain()

        assert (story(api, order)[-1], api.get(order).json()["refunded"]) == ("refunded", 10_000)
        assert sorted(it.charge_reference for it in ledger.refunded.values()) == sorted(
            ["instant-second", f"instant-{intent.pk}"]
        )
