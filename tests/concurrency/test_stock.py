"""Oversell and release of stock. Deadlocks are too rare to provoke, so the order of row locks is checked instead."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from inventory.models import Reservation, StockItem, StockMovement
from messaging.contracts import OrderCancelled
from messaging.models import Attempt
from orders import placing, services
from orders.drafts import Draft
from orders.models import Order
from orders.services import AlreadyCancelled
from tests.factories import BASE_URL, make_draft, make_stock, place_order
from tests.outbox import counting_statements, published
from tests.threads import at_once, workers


@pytest.fixture(autouse=True)
def _small_batches(settings):
    settings.MESSAGING = replace(settings.MESSAGING, batch_size=3)


def place_all(drafts: list[Draft]) -> None:
    """Place these orders from ten callers at once, while four workers deliver."""
    with workers(4):
        answers = at_once(*[partial(place_each, drafts[caller::10]) for caller in range(10)])
    assert answers == [None] * 10


def place_each(drafts: Sequence[Draft]) -> None:
    for draft in drafts:
        placing.place_order(draft, now=timezone.now(), base_url=BASE_URL)


def cancel(order: Order) -> None:
    services.cancel_order(str(order.pk), reason="by_customer", now=timezone.now())


def fail_payment(order: Order) -> None:
    services.cancel_orders({str(order.pk): "payment_failed"}, now=timezone.now())


def ends() -> Counter:
    return Counter(Order.objects.values_list("status", "cancel_reason"))


@pytest.mark.django_db(transaction=True)
class TestOversell:
    def test_sells_ten_chairs_among_a_hundred_orders(self, ledger):
        make_stock(10)
        choose = random.Random(5)

        place_all([make_draft({"RED-CHAIR": choose.randint(1, 3)}) for _ in range(100)])

        sold = Order.objects.filter(status="confirmed").values_list("lines__quantity", flat=True)
        left, reserved = StockItem.objects.values_list("on_hand", "reserved").get()
        refused = Order.objects.filter(cancel_reason="out_of_stock").values_list("lines__quantity", flat=True)
        assert (left, reserved) == (10 - sum(sold), 0)
        assert min(refused) > left
        assert len(sold) + len(refused) == 100
        assert len(ledger.captured) == len(sold)

    def test_never_deadlocks_over_two_products_in_opposite_order(self, ledger):
        make_stock(100)
        make_stock(100, sku="OAK-TABLE")
        there, back = {"OAK-TABLE": 1, "RED-CHAIR": 1}, {"RED-CHAIR": 1, "OAK-TABLE": 1}

        place_all([make_draft(quantities) for _ in range(20) for quantities in (there, back)])

        assert ends() == {("confirmed", ""): 40}
        assert set(StockItem.objects.values_list("on_hand", "reserved")) == {(60, 0)}
        assert not Attempt.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_order_cancelled_expired_and_unpaid_at_once_releases_its_stock_once(drain, ledger):
    make_stock(100)
    orders = [place_order({"RED-CHAIR": 3}, payment_method="tok_pending") for _ in range(8)]
    drain()
    assert StockItem.objects.values_list("on_hand", "reserved").get() == (100, 24)

    with workers(3, clock=lambda: timezone.now() + timedelta(hours=1)):
        answers = at_once(*[partial(end, order) for order in orders for end in (cancel, fail_payment)])

    assert {type(answer) for answer in answers} <= {type(None), AlreadyCancelled}
    assert StockItem.objects.values_list("on_hand", "reserved").get() == (100, 0)
    assert list(Reservation.objects.values_list("status", flat=True)) == ["released"] * 8
    assert list(StockMovement.objects.values_list("kind", flat=True)) == ["opening"]
    assert {event.order_id for event in published(OrderCancelled)} == {str(order.pk) for order in orders}
    assert len(published(OrderCancelled)) == 8
    assert all(order.history.filter(status="cancelled").count() == 1 for order in orders)
    assert ledger.captured == {}


@pytest.mark.django_db
def test_stock_is_locked_by_sku_whatever_the_order_of_the_lines():
    with counting_statements() as statements:
        StockItem.objects.locked(["RED-CHAIR", "OAK-TABLE"])

    assert 'ORDER BY "inventory_stockitem"."sku" ASC' in statements[0]["sql"]
