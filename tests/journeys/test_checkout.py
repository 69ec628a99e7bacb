from datetime import timedelta

import pytest
from django.core import mail

from messaging.models import Delivery
from orders.models import Product
from tests.factories import make_stock
from tests.journeys.story import letters, place, shelf, story

pytestmark = pytest.mark.django_db


class TestCheckout:
    def test_an_order_is_reserved_paid_shipped_and_told(self, api, drain, ledger):
        make_stock(10)

        order = place(api, quantity=2)
        assert story(api, order) == ["placed"]
        drain()

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert shelf() == (8, 0)
        assert [charge.amount for charge in ledger.captured.values()] == [9_000]
        assert letters() == ["Your order is confirmed"]
        assert [sent.to for sent in mail.outbox] == [["ada@example.com"]]
        assert not Delivery.objects.dead().exists()

    def test_nothing_more_happens_when_its_payment_would_have_been_due(self, api, drain, ledger):
        make_stock(10)
        order = place(api)
        drain()

        drain(after=timedelta(hours=1))

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert ledger.calls == {"charge": 1}
        assert letters() == ["Your order is confirmed"]
        assert not Delivery.objects.exclude(status="delivered").exists()

    def test_a_gift_is_confirmed_without_any_payment(self, api, drain, ledger):
        make_stock(10, price=0)

        order = place(api, price=0)
        drain()

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert ledger.calls == {}

    def test_the_last_chair_shows_as_sold_out(self, api, drain):
        make_stock(1)

        place(api)
        drain()

        assert Product.objects.get().sold_out
