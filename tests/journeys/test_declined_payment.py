import pytest

from messaging.models import Delivery
from tests.factories import make_stock
from tests.journeys.orders import CONFIRMED, Stock, history_of, mail_subjects, place, stock


@pytest.mark.django_db
class TestDeclinedPayment:
    def test_cancels_the_order_and_releases_its_stock(self, api, drain, ledger):
        make_stock(1)

        order = place(api, payment_method="tok_declined")
        drain()

        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "payment_failed"]
        assert stock() == Stock(on_hand=1)
        assert ledger.captured == ledger.refunded == {}
        assert mail_subjects() == ["Your order is cancelled"]
        assert not Delivery.objects.dead().exists()

    def test_leaves_the_stock_to_the_next_order(self, api, drain, ledger):
        make_stock(1)
        place(api, payment_method="tok_declined")
        drain()

        order = place(api)
        drain()

        assert history_of(api, order) == CONFIRMED
        assert stock() == Stock(on_hand=0)
