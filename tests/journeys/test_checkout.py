from dataclasses import replace
from datetime import timedelta

import pytest
from django.core import mail
from django.utils import timezone

from inventory.services import receive
from messaging.models import Delivery
from orders.models import Product
from payments.models import PaymentIntent
from tests.factories import make_stock
from tests.journeys.orders import CONFIRMED, Stock, history_of, mail_kinds, place, stock

pytestmark = pytest.mark.django_db

REMINDER, DUE = timedelta(minutes=15), timedelta(minutes=30)
SECOND = timedelta(seconds=1)


class TestConfirmedOrder:
    def test_is_reserved_charged_shipped_and_confirmed_by_mail(self, api, drain, ledger):
        make_stock(10)

        order = place(api, quantity=2)
        assert history_of(api, order) == ["placed"]
        drain()

        assert history_of(api, order) == CONFIRMED
        assert stock() == Stock(on_hand=8)
        assert [charge.amount for charge in ledger.captured.values()] == [9_000]
        assert mail_kinds() == ["order_confirmed"]
        assert [message.to for message in mail.outbox] == [["ada@example.com"]] * 2
        assert not Delivery.objects.dead().exists()

    def test_does_not_change_when_the_payment_deadline_passes(self, api, drain, ledger):
        make_stock(10)
        order = place(api)
        drain()

        drain(after=timedelta(hours=1))

        assert history_of(api, order) == CONFIRMED
        assert ledger.calls == {"charge": 1}
        assert mail_kinds() == ["order_confirmed"]
        assert not Delivery.objects.exclude(status="delivered").exists()

    def test_of_the_last_item_shows_the_product_as_sold_out_until_goods_are_received(self, api, drain):
        make_stock(1)
        place(api)
        drain()
        assert Product.objects.get().sold_out

        receive({"RED-CHAIR": 5}, now=timezone.now())
        order = place(api)
        drain()

        assert history_of(api, order) == CONFIRMED
        assert not Product.objects.get().sold_out

    def test_is_confirmed_by_a_query_if_the_answer_of_the_gateway_was_lost(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_timeout")

        drain()
        assert history_of(api, order) == ["placed", "awaiting_payment"]
        assert PaymentIntent.objects.get().status == "unknown"

        drain(after=timedelta(seconds=6))
        assert history_of(api, order) == CONFIRMED
        assert ledger.calls == {"charge": 1, "look_up": 1}
        assert stock() == Stock(on_hand=0)
        assert mail_kinds() == ["order_confirmed"]


class TestCancelledOrder:
    def test_is_not_charged_if_it_is_out_of_stock(self, api, drain, ledger):
        make_stock(1)

        order = place(api, quantity=2)
        drain()

        assert history_of(api, order) == ["placed", "cancelled", "out_of_stock"]
        assert stock() == Stock(on_hand=1)
        assert ledger.calls == {}
        assert mail_kinds() == ["out_of_stock"]

    def test_releases_its_stock_if_its_payment_is_declined(self, api, drain, ledger):
        make_stock(1)

        order = place(api, payment_method="tok_declined")
        drain()

        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "payment_failed"]
        assert stock() == Stock(on_hand=1)
        assert ledger.captured == ledger.refunded == {}
        assert mail_kinds() == ["payment_failed"]
        assert not Delivery.objects.dead().exists()

    def test_is_reminded_of_and_expires_when_the_payment_deadline_passes(self, api, drain, ledger, settings):
        settings.ORDERS = replace(
            settings.ORDERS, reminder_seconds=REMINDER.total_seconds(), payment_due_seconds=DUE.total_seconds()
        )
        make_stock(1)
        order = place(api, payment_method="tok_pending")

        drain(after=REMINDER - SECOND)
        assert history_of(api, order) == ["placed", "awaiting_payment"]
        assert stock() == Stock(on_hand=1, reserved=1)
        assert mail_kinds() == []

        drain(after=REMINDER + SECOND)
        assert mail_kinds() == ["payment_due_soon"]

        drain(after=DUE + SECOND)
        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "expired"]
        assert stock() == Stock(on_hand=1)
        assert len(ledger.cancelled) == 1
        assert ledger.captured == {}
        assert mail_kinds() == ["payment_due_soon", "order_expired"]
