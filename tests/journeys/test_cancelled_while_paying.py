from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.models import Delivery
from messaging.relay import Relay
from payments.models import PaymentIntent
from tests.factories import make_stock
from tests.journeys.orders import Stock, history_of, mail_kinds, place, stock

LATER = timedelta(hours=2)


def deliver_until(condition: Callable[[], bool]) -> None:
    """
    Deliver one message at a time until the condition is true.
    """
    relay = Relay()
    while not condition():
        assert relay.deliver_due(), "delivered everything, and the condition is still false"


@pytest.mark.django_db
class TestCancelledWhilePaying:
    @pytest.fixture(autouse=True)
    def _one_chair(self):
        make_stock(1)

    def test_before_the_stock_is_reserved(self, api, drain, ledger):
        order = place(api)

        assert api.post(f"{order}cancel/").status_code == 200
        drain(after=LATER)

        assert history_of(api, order) == ["placed", "cancelled", "by_customer"]
        assert stock() == Stock(on_hand=1)
        assert ledger.calls == {}
        assert mail_kinds() == ["order_cancelled"]

    def test_while_the_payment_is_pending(self, api, drain, ledger):
        order = place(api, payment_method="tok_pending")
        drain()

        assert api.post(f"{order}cancel/").status_code == 200
        drain(after=LATER)

        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "by_customer"]
        assert stock() == Stock(on_hand=1)
        assert len(ledger.cancelled) == 1
        assert ledger.captured == {}
        assert mail_kinds() == ["order_cancelled"]

    def test_while_the_result_of_the_capture_is_unknown(self, api, drain, ledger):
        order = place(api, payment_method="tok_timeout")
        drain()

        assert api.post(f"{order}cancel/").status_code == 200
        drain(after=LATER)

        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "by_customer"]
        assert api.get(order).json()["refunded"] == 4_500
        assert stock() == Stock(on_hand=1)
        assert [refund.amount for refund in ledger.refunded.values()] == [4_500]
        assert mail_kinds() == ["order_cancelled", "payment_refunded"]

    def test_before_the_gateway_is_called(self, api, drain, ledger):
        order = place(api)
        deliver_until(lambda: history_of(api, order)[-1] == "awaiting_payment")
        Delivery.objects.filter(subscriber="payments.take_payment").update(due_at=timezone.now() + LATER / 2)

        assert api.post(f"{order}cancel/").status_code == 200
        drain()
        drain(after=LATER)

        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "by_customer"]
        assert ledger.calls == {}
        assert stock() == Stock(on_hand=1)

    def test_after_the_capture_and_before_the_order_is_confirmed(self, api, drain, ledger):
        order = place(api)
        deliver_until(lambda: PaymentIntent.objects.filter(status="succeeded").exists())

        assert api.post(f"{order}cancel/").status_code == 200
        drain(after=LATER)

        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "by_customer"]
        assert [refund.amount for refund in ledger.refunded.values()] == [4_500]
        assert stock() == Stock(on_hand=1)
