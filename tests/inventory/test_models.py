from itertools import product
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from inventory import services
from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from messaging.contracts import Line
from tests.factories import make_stock

pytestmark = pytest.mark.django_db

ORDER = "01900000-0000-7000-8000-000000000001"
MOVES = {"committed": services.commit, "released": services.release}


def reservation_that_is(status: str) -> Reservation:
    make_stock(10)
    services.reserve({ORDER: [Line(sku="RED-CHAIR", quantity=3)]}, now=timezone.now())
    if status != "held":
        MOVES[status]([ORDER], now=timezone.now())
    return Reservation.objects.get(order_id=ORDER)


def everything() -> list[object]:
    return [list(model.objects.values()) for model in (StockItem, Reservation, ReservationLine, StockMovement)]


class TestTransitions:
    @pytest.mark.parametrize(("target", "counters"), [("committed", (7, 0)), ("released", (10, 0))])
    def test_a_held_reservation_ends_once(self, target, counters):
        reservation = reservation_that_is("held")

        MOVES[target]([ORDER], now=timezone.now())

        reservation.refresh_from_db()
        item = StockItem.objects.get()
        assert reservation.status == target
        assert (item.on_hand, item.reserved) == counters

    @pytest.mark.parametrize(
        ("source", "target"), [("committed", "committed"), ("committed", "released"), ("released", "released")]
    )
    def test_an_ended_one_stays_as_it_is(self, source, target):
        reservation_that_is(source)
        before = everything()

        MOVES[target]([ORDER], now=timezone.now())

        assert everything() == before

    def test_a_released_one_cannot_be_committed(self):
        reservation_that_is("released")
        before = everything()

        with pytest.raises(services.ReservationNotHeld, match=ORDER):
            services.commit([ORDER], now=timezone.now())

        assert everything() == before

    @pytest.mark.parametrize("status", ["held", "committed", "released"])
    def test_none_is_held_again(self, status):
        reservation_that_is(status)
        before = everything()

        services.reserve({ORDER: [Line(sku="RED-CHAIR", quantity=3)]}, now=timezone.now())

        assert everything() == before

    def test_the_table_says_the_same_of_every_pair(self):
        allowed = {
            (source, target)
            for source, target in product(Reservation.Status.values, repeat=2)
            if target in Reservation.TRANSITIONS[source]
        }

        assert allowed == {("held", "committed"), ("held", "released")}


class TestConstraints:
    @pytest.mark.parametrize("lie", [{"reserved": -1}, {"on_hand": 2, "reserved": 3}, {"on_hand": -1}])
    def test_the_database_refuses_stock_of(self, lie):
        make_stock(10)

        with pytest.raises(IntegrityError), transaction.atomic():
            StockItem.objects.update(**lie)

    @pytest.mark.parametrize(
        ("status", "lie"),
        [
            ("held", {"ended_at": "2030-06-01T12:00Z"}),
            ("held", {"status": "released"}),
            ("released", {"ended_at": None}),
        ],
    )
    def test_the_database_refuses_a_reservation_that_ends_at_no_time(self, status, lie):
        reservation_that_is(status)

        with pytest.raises(IntegrityError), transaction.atomic():
            Reservation.objects.update(**lie)

    def test_the_database_refuses_a_second_reservation_of_one_order(self):
        reservation_that_is("held")

        with pytest.raises(IntegrityError), transaction.atomic():
            Reservation.objects.create(order_id=ORDER, created_at=timezone.now())

    def test_the_database_refuses_to_promise_nothing(self):
        reservation_that_is("held")

        with pytest.raises(IntegrityError), transaction.atomic():
            ReservationLine.objects.update(quantity=0)

    def test_the_database_refuses_a_sku_twice_in_one_reservation(self):
        reservation = reservation_that_is("held")

        with pytest.raises(IntegrityError), transaction.atomic():
            ReservationLine.objects.create(reservation=reservation, sku="RED-CHAIR", quantity=1)

    @pytest.mark.parametrize(
        "lie",
        [
            {"kind": "shipped", "quantity": 3, "order_id": UUID(ORDER)},
            {"kind": "withdrawn", "quantity": 3},
            {"kind": "received", "quantity": -3},
            {"kind": "received", "quantity": 0},
            {"kind": "received", "quantity": 3, "order_id": UUID(ORDER)},
            {"kind": "shipped", "quantity": -3, "order_id": None},
            {"kind": "opening", "quantity": 3},
            {"kind": "shipped", "quantity": -1, "order_id": UUID(ORDER)},
        ],
    )
    def test_the_database_refuses_a_movement_that_is(self, lie):
        reservation_that_is("committed")

        with pytest.raises(IntegrityError), transaction.atomic():
            StockMovement.objects.create(**{"sku": "RED-CHAIR", "at": timezone.now()} | lie)
