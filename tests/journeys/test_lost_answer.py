from datetime import timedelta

import pytest

from messaging.models import Delivery
from payments.gateway.protocol import TimedOut
from payments.models import PaymentIntent
from tests.factories import make_stock
from tests.journeys.story import letters, place, shelf, story


@pytest.mark.django_db
class TestLostAnswer:
    def test_the_gateway_is_asked_again_and_the_order_confirmed_paid_once(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_timeout")

        drain()
        assert story(api, order) == ["placed", "awaiting_payment"]
        assert PaymentIntent.objects.get().status == "unknown"

        drain(after=timedelta(seconds=6))
        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert ledger.calls == {"charge": 1, "look_up": 1}
        assert shelf() == (0, 0)
        assert letters() == ["Your order is confirmed"]

    def test_however_often_the_answer_is_lost_the_money_moves_once(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_timeout")
        drain()

        ledger.script.extend([TimedOut()] * 3)
        for seconds in (6, 31, 121, 601):
            drain(after=timedelta(seconds=seconds))

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert ledger.calls == {"charge": 1, "look_up": 4}
        assert len(ledger.captured) == 1
        assert not Delivery.objects.dead().exists()
