from datetime import timedelta

import pytest
from django.core import mail

from messaging.models import Delivery
from orders.models import Product
from tests.factories import make_stock
from tests.journeys.orders import CONFIRMED, Stock, history_of, mail_subjects, place, stock

pytestmark = pytest.mark.django_db


class TestCheckout:
    def test_reserves_charges_ships_and_confirms_by_mail(self, api, drain, ledger):
        make_stock(10)

        order = place(api, quantity=2)
        assert history_of(api, order) == ["placed"]
        drain()

        assert history_of(api, order) == CONFIRMED
        assert stock() == Stock(on_hand=8)
        assert [charge.amount for charge in ledger.captured.values()] == [9_000]
        assert mail_subjects() == ["Your order is confirmed"]
        assert [message.to for message in mail.outbox] == [["ada@example.com"]]
        assert not Delivery.objects.dead().exists()

    def test_does_nothing_more_when_the_payment_deadline_passes(self, api, drain, ledger):
        make_stock(10)
        order = place(api)
        drain()

        drain(after=timedelta(hours=1))

        assert history_of(api, order) == CONFIRMED
        assert ledger.calls == {"charge": 1}
        assert mail_subjects() == ["Your order is confirmed"]
        assert not Delivery.objects.exclude(status="delivered").exists()

    def test_confirms_a_free_order_without_calling_the_gateway(self, api, drain, ledger):
        make_stock(10, price=0)

        order = place(api, price=0)
        drain()

        assert history_of(api, order) == CONFIRMED
        assert ledger.calls == {}

    def test_shows_a_product_as_sold_out_after_the_last_sale(self, api, drain):
        make_stock(1)

        place(api)
        drain()

        assert Product.objects.get().sold_out
