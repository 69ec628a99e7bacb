from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.utils import timezone

from inventory.models import Reservation, StockItem, StockMovement
from messaging.contracts import OrderCancelled
from messaging.models import Delivery
from orders import services
from orders.models import Order
from orders.services import AlreadyCancelled
from tests.factories import make_stock, place_order
from tests.outbox import published
from tests.threads import at_once, workers

ORDERS = 8


def when_all_is_overdue() -> datetime:
    return timezone.now() + timedelta(hours=1)


def cancel(order: Order) -> None:
    services.cancel_order(str(order.pk), reason="by_customer", now=timezone.now())


def payment_fails(order: Order) -> None:
    services.cancel_orders({str(order.pk): "payment_failed"}, now=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_cancelled_expired_and_failed_at_once_gives_the_stock_back_once(drain, ledger, settings):
    settings.MESSAGING = replace(settings.MESSAGING, batch_size=2)
    make_stock(100)
    orders = [place_order({"RED-CHAIR": 3}, payment_method="tok_pending") for _ in range(ORDERS)]
    drain()
    assert StockItem.objects.values_list("on_hand", "reserved").get() == (100, 24)

    with workers(3, clock=when_all_is_overdue):
        answers = at_once(*[partial(end, order) for order in orders for end in (cancel, payment_fails)])

    assert {type(answer) for answer in answers} <= {type(None), AlreadyCancelled}
    assert StockItem.objects.values_list("on_hand", "reserved").get() == (100, 0)
    assert list(Reservation.objects.values_list("status", flat=True)) == ["released"] * ORDERS
    assert list(StockMovement.objects.values_list("kind", flat=True)) == ["opening"]
    assert {event.order_id for event in published(OrderCancelled)} == {str(order.pk) for order in orders}
    assert len(published(OrderCancelled)) == ORDERS
    assert all(order.history.filter(status="cancelled").count() == 1 for order in orders)
    assert ledger.captured == {}


@pytest.mark.django_db
class TestReleaseThroughTheRelay:
    def test_of_an_order_cancelled_before_its_stock_was_reserved(self, drain, ledger):
        make_stock(10)
        order = place_order()
        cancel(order)
        Delivery.objects.filter(subscriber="inventory.reserve_stock").update(due_at=when_all_is_overdue())

        drain()
        drain(after=timedelta(hours=1))

        assert StockItem.objects.values_list("on_hand", "reserved").get() == (10, 0)
        assert Reservation.objects.values_list("order_id", "status").get() == (order.pk, "released")
        assert ledger.calls == {}

    def test_again_gives_nothing_back(self, drain):
        make_stock(10)
        order, _ = place_order(payment_method="tok_pending"), place_order(payment_method="tok_pending")
        drain()
        cancel(order)
        drain()
        again = Delivery.objects.filter(subscriber="inventory.release_stock")
        again.update(status=Delivery.Status.DEAD, delivered_at=None)

        again.replay(timezone.now())
        drain()

        assert StockItem.objects.values_list("on_hand", "reserved").get() == (10, 1)
