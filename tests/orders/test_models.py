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


def make_order(status: str) -> Order:
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
    def test_makes_an_allowed_transition_and_records_it(self, source, target):
        order = make_order(source)

        Order.move_to(target, [order], now=timezone.now(), cancel_reason=reason_for(target))

        assert (order.status, order.cancel_reason) == (target, reason_for(target))
        order.refresh_from_db()
        assert (order.status, order.cancel_reason) == (target, reason_for(target))
        step = order.history.latest("id")
        assert (step.previous, step.status) == (source, target)

    @pytest.mark.parametrize(("source", "target"), FORBIDDEN)
    def test_rejects_every_other_transition_and_changes_nothing(self, source, target):
        order = make_order(source)
        before = (list(Order.objects.values()), list(HistoryEntry.objects.values()))

        with pytest.raises(InvalidTransition), transaction.atomic():
            Order.move_to(target, [order], now=timezone.now(), cancel_reason=reason_for(target))

        assert (list(Order.objects.values()), list(HistoryEntry.objects.values())) == before
        assert order.status == source

    def test_rejects_the_whole_batch_if_one_order_has_changed(self):
        placed, changed = make_order("placed"), make_order("awaiting_payment")
        changed.status = "placed"

        with (
            pytest.raises(InvalidTransition, match="1 of 2 orders may not become awaiting_payment"),
            transaction.atomic(),
        ):
            Order.move_to("awaiting_payment", [placed, changed], now=timezone.now())

        placed.refresh_from_db()
        assert placed.status == "placed"

    def test_has_transitions_for_every_status(self):
        assert set(Order.TRANSITIONS) == set(Order.Status)


class TestConstraints:
    @pytest.mark.parametrize(
        ("model", "values"),
        [
            (Order, {"total": -1}),
            (Order, {"refunded": -1}),
            (Order, {"total": 5, "refunded": 6}),
            (Order, {"status": "cancelled"}),
            (Order, {"cancel_reason": "expired"}),
            (OrderLine, {"quantity": 0}),
            (OrderLine, {"unit_price": -1}),
            (Product, {"price": -1}),
        ],
    )
    def test_reject_an_update(self, model, values):
        make_order("placed")

        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.update(**values)

    @pytest.mark.parametrize("model", [Order, OrderLine])
    def test_reject_a_second_order_for_one_key_and_a_second_line_of_one_sku_and_price(self, model):
        make_order("placed")
        row = model.objects.get()
        row.pk = None

        with pytest.raises(IntegrityError), transaction.atomic():
            row.save(force_insert=True)
