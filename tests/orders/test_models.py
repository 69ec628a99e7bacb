from itertools import product

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from messaging.kernel.state_machine import InvalidTransition
from orders.models import HistoryEntry, Order, OrderLine, Product
from tests.factories import make_stock, place_order

pytestmark = pytest.mark.django_db

ALLOWED = {
    ("placed", "awaiting_payment"),
    ("placed", "cancelled"),
    ("awaiting_payment", "confirmed"),
    ("awaiting_payment", "cancelled"),
    ("confirmed", "refunded"),
}
FORBIDDEN = sorted(set(product(Order.Status.values, repeat=2)) - ALLOWED)


def order_that_is(status: str) -> Order:
    make_stock()
    order = place_order(idempotency_key=status)
    reason = "expired" if status == "cancelled" else ""
    Order.objects.filter(pk=order.pk).update(status=status, cancel_reason=reason)
    order.refresh_from_db()
    return order


def reason_for(status: str) -> str:
    return "by_customer" if status == "cancelled" else ""


class TestMoveTo:
    @pytest.mark.parametrize(("source", "target"), sorted(ALLOWED))
    def test_takes_an_allowed_step_and_writes_it_down(self, source, target):
        order = order_that_is(source)

        Order.move_to(target, [order], now=timezone.now(), cancel_reason=reason_for(target))

        assert (order.status, order.cancel_reason) == (target, reason_for(target))
        order.refresh_from_db()
        assert (order.status, order.cancel_reason) == (target, reason_for(target))
        step = order.history.latest("id")
        assert (step.previous, step.status) == (source, target)

    @pytest.mark.parametrize(("source", "target"), FORBIDDEN)
    def test_refuses_every_other_step_and_changes_nothing(self, source, target):
        order = order_that_is(source)
        before = (list(Order.objects.values()), list(HistoryEntry.objects.values()))

        with pytest.raises(InvalidTransition), transaction.atomic():
            Order.move_to(target, [order], now=timezone.now(), cancel_reason=reason_for(target))

        assert (list(Order.objects.values()), list(HistoryEntry.objects.values())) == before
        assert order.status == source

    def test_refuses_a_set_whole_when_one_has_moved_meanwhile(self):
        ready, moved_meanwhile = order_that_is("placed"), order_that_is("awaiting_payment")
        moved_meanwhile.status = "placed"

        with (
            pytest.raises(InvalidTransition, match="1 of 2 orders may not become awaiting_payment"),
            transaction.atomic(),
        ):
            Order.move_to("awaiting_payment", [ready, moved_meanwhile], now=timezone.now())

        ready.refresh_from_db()
        assert ready.status == "placed"

    def test_names_every_status_in_its_table(self):
        assert set(Order.TRANSITIONS) == set(Order.Status)


class TestConstraints:
    @pytest.mark.parametrize(
        "lie",
        [
            {"total": -1},
            {"refunded": -1},
            {"total": 5, "refunded": 6},
            {"status": "cancelled"},
            {"cancel_reason": "expired"},
        ],
    )
    def test_the_database_refuses_an_order_that(self, lie):
        order = order_that_is("placed")

        with pytest.raises(IntegrityError), transaction.atomic():
            Order.objects.filter(pk=order.pk).update(**lie)

    @pytest.mark.parametrize("lie", [{"quantity": 0}, {"unit_price": -1}])
    def test_the_database_refuses_a_line_of(self, lie):
        order_that_is("placed")

        with pytest.raises(IntegrityError), transaction.atomic():
            OrderLine.objects.update(**lie)

    def test_the_database_refuses_a_second_order_for_one_key(self):
        order = order_that_is("placed")
        order.pk = None

        with pytest.raises(IntegrityError), transaction.atomic():
            order.save(force_insert=True)

    def test_the_database_refuses_a_second_line_of_one_sku_and_price(self):
        line = order_that_is("placed").lines.get()
        line.pk = None

        with pytest.raises(IntegrityError), transaction.atomic():
            line.save(force_insert=True)

    def test_the_database_refuses_a_product_below_nothing(self):
        with pytest.raises(IntegrityError), transaction.atomic():
            Product.objects.create(sku="RED-CHAIR", name="Red chair", price=-1)
