import pytest
from django.utils import timezone

from inventory.services import receive
from orders.models import Product
from tests.factories import make_stock
from tests.journeys.orders import CONFIRMED, Stock, history_of, mail_subjects, place, stock


@pytest.mark.django_db
class TestOutOfStock:
    def test_cancels_an_order_without_charging_it(self, api, drain, ledger):
        make_stock(1)

        order = place(api, quantity=2)
        drain()

        assert history_of(api, order) == ["placed", "cancelled", "out_of_stock"]
        assert stock() == Stock(on_hand=1)
        assert ledger.calls == {}
        assert mail_subjects() == ["Your order is cancelled"]

    def test_cancels_the_second_order_for_the_last_chair(self, api, drain, ledger):
        make_stock(1)

        first, second = place(api), place(api)
        drain()

        assert history_of(api, first) == CONFIRMED
        assert history_of(api, second) == ["placed", "cancelled", "out_of_stock"]
        assert stock() == Stock(on_hand=0)
        assert ledger.calls == {"charge": 1}

    def test_sells_received_goods_again(self, api, drain):
        make_stock(1)
        place(api)
        drain()

        receive({"RED-CHAIR": 5}, now=timezone.now())
        order = place(api)
        drain()

        assert history_of(api, order)[-1] == "confirmed"
        assert not Product.objects.get().sold_out
