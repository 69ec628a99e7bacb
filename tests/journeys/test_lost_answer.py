from datetime import timedelta

import pytest

from messaging.models import Delivery
from payments.gateway.protocol import TimedOut
from payments.models import PaymentIntent
from tests.factories import make_stock
from tests.journeys.orders import CONFIRMED, Stock, history_of, mail_subjects, place, stock


@pytest.mark.django_db
class TestLostAnswer:
    def test_queries_the_gateway_again_and_confirms_the_order(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_timeout")

        drain()
        assert history_of(api, order) == ["placed", "awaiting_payment"]
        assert PaymentIntent.objects.get().status == "unknown"

        drain(after=timedelta(seconds=6))
        assert history_of(api, order) == CONFIRMED
        assert ledger.calls == {"charge": 1, "look_up": 1}
        assert stock() == Stock(on_hand=0)
        assert mail_subjects() == ["Your order is confirmed"]

    def test_captures_once_however_many_answers_are_lost(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_timeout")
        drain()

        ledger.script.extend([TimedOut()] * 3)
        for seconds in (6, 31, 121, 601):
            drain(after=timedelta(seconds=seconds))

        assert history_of(api, order) == CONFIRMED
        assert ledger.calls == {"charge": 1, "look_up": 4}
        assert len(ledger.captured) == 1
        assert not Delivery.objects.dead().exists()
