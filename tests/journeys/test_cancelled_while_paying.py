from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.models import Delivery
from messaging.relay import Relay
from payments.models import PaymentIntent
from tests.factories import make_stock
from tests.journeys.story import letters, place, shelf, story

LATER = timedelta(hours=2)


def deliver_until(reached: Callable[[], bool]) -> None:
    """
    Deliver step by step, and stop as soon as the story has got so far.
    """
    relay = Relay()
    while not reached():
        assert relay.deliver_due(), "delivered everything in vain"


@pytest.mark.django_db
class TestCancelledWhilePaying:
    def test_before_anything_happened(self, api, drain, ledger):
        make_stock(1)
        order = place(api)

        assert api.post(f"{order}cancel/").status_code == 200
        drain(after=LATER)

        assert story(api, order) == ["placed", "cancelled", "by_customer"]
        assert shelf() == (1, 0)
        assert ledger.calls == {}
        assert letters() == ["Your order is cancelled"]

    def test_while_the_customer_still_had_to_agree(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_pending")
        drain()

        assert api.post(f"{order}cancel/").status_code == 200
        drain(after=LATER)

        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "by_customer"]
        assert shelf() == (1, 0)
        assert (len(ledger.cancelled), ledger.captured) == (1, {})
        assert letters() == ["Your order is cancelled"]

    def test_while_nobody_knew_that_the_money_was_taken(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_timeout")
        drain()

        assert api.post(f"{order}cancel/").status_code == 200
        drain(after=LATER)

        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "by_customer"]
        assert api.get(order).json()["refunded"] == 4_500
        assert shelf() == (1, 0)
        assert [refund.amount for refund in ledger.refunded.values()] == [4_500]
        assert letters() == ["Your order is cancelled", "A refund for your order"]

    def test_before_the_gateway_was_asked_for_the_money(self, api, drain, ledger):
        make_stock(1)
        order = place(api)
        deliver_until(lambda: story(api, order)[-1] == "awaiting_payment")
        Delivery.objects.filter(subscriber="payments.take_payment").update(due_at=timezone.now() + LATER / 2)

        assert api.post(f"{order}cancel/").status_code == 200
        drain()
        drain(after=LATER)

        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "by_customer"]
        assert ledger.calls == {}
        assert shelf() == (1, 0)

    def test_after_the_money_was_taken_and_before_the_order_heard_of_it(self, api, drain, ledger):
        make_stock(1)
        order = place(api)
        deliver_until(lambda: PaymentIntent.objects.filter(status="succeeded").exists())

        assert api.post(f"{order}cancel/").status_code == 200
        drain(after=LATER)

        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "by_customer"]
        assert [refund.amount for refund in ledger.refunded.values()] == [4_500]
        assert shelf() == (1, 0)

    def test_too_late(self, api, drain, ledger):
        make_stock(1)
        order = place(api)
        drain()

        assert api.post(f"{order}cancel/").status_code == 409
        drain(after=LATER)

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (len(ledger.captured), ledger.refunded) == (1, {})
