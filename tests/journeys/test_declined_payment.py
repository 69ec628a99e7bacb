import pytest

from messaging.models import Delivery
from tests.factories import make_stock
from tests.journeys.story import letters, place, shelf, story


@pytest.mark.django_db
class TestDeclinedPayment:
    def test_the_order_is_cancelled_and_its_stock_is_for_others(self, api, drain, ledger):
        make_stock(1)

        order = place(api, payment_method="tok_declined")
        drain()

        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "payment_failed"]
        assert shelf() == (1, 0)
        assert ledger.captured == ledger.refunded == {}
        assert letters() == ["Your order is cancelled"]
        assert not Delivery.objects.dead().exists()

    def test_the_next_customer_gets_what_the_first_could_not_pay(self, api, drain, ledger):
        make_stock(1)
        place(api, payment_method="tok_declined")
        drain()

        order = place(api)
        drain()

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert shelf() == (0, 0)
