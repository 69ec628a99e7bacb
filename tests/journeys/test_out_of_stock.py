import pytest
from django.utils import timezone

from inventory.services import receive
from orders.models import Product
from tests.factories import make_stock
from tests.journeys.story import letters, place, shelf, story


@pytest.mark.django_db
class TestOutOfStock:
    def test_an_order_for_more_than_there_is_costs_nothing(self, api, drain, ledger):
        make_stock(1)

        order = place(api, quantity=2)
        drain()

        assert story(api, order) == ["placed", "cancelled", "out_of_stock"]
        assert shelf() == (1, 0)
        assert ledger.calls == {}
        assert letters() == ["Your order is cancelled"]

    def test_the_second_order_for_the_last_chair_is_too_late(self, api, drain, ledger):
        make_stock(1)

        first, second = place(api), place(api)
        drain()

        assert story(api, first) == ["placed", "awaiting_payment", "confirmed"]
        assert story(api, second) == ["placed", "cancelled", "out_of_stock"]
        assert shelf() == (0, 0)
        assert ledger.calls == {"charge": 1}

    def test_new_goods_can_be_ordered_again(self, api, drain):
        make_stock(1)
        place(api)
        drain()

        receive({"RED-CHAIR": 5}, now=timezone.now())
        order = place(api)
        drain()

        assert story(api, order)[-1] == "confirmed"
        assert not Product.objects.get().sold_out
