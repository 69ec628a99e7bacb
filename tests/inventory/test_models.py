from uuid import UUID

import pytest
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from inventory import services
from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from messaging.models import OutboxMessage
from tests.factories import make_stock
from tests.inventory.stock import chairs

pytestmark = pytest.mark.django_db

ORDER = "01900000-0000-7000-8000-000000000001"
END = {"committed": services.commit, "released": services.release}


def make_reservation(status: str) -> Reservation:
    make_stock(10)
    services.reserve({ORDER: chairs(3)}, now=timezone.now())
    if status != "held":
        END[status]([ORDER], now=timezone.now())
    return Reservation.objects.get(order_id=ORDER)


def stored_rows() -> list[object]:
    tables = (StockItem, Reservation, ReservationLine, StockMovement, OutboxMessage)
    return [list(model.objects.values()) for model in tables]


class TestTransitions:
    @pytest.mark.parametrize(
        ("source", "target"), [("committed", "committed"), ("committed", "released"), ("released", "released")]
    )
    def test_an_ended_reservation_does_not_change(self, source, target):
        make_reservation(source)
        before = stored_rows()

        END[target]([ORDER], now=timezone.now())

        assert stored_rows() == before

    def test_a_released_reservation_cannot_be_committed(self):
        make_reservation("released")
        before = stored_rows()

        with pytest.raises(services.ReservationNotHeld, match=ORDER):
            services.commit([ORDER], now=timezone.now())

        assert stored_rows() == before

    @pytest.mark.parametrize("status", ["held", "committed", "released"])
    def test_a_second_request_for_the_same_order_changes_nothing(self, status):
        make_reservation(status)
        before = stored_rows()

        services.reserve({ORDER: chairs(3)}, now=timezone.now())

        assert stored_rows() == before


class TestConstraints:
    @pytest.mark.parametrize(
        ("status", "model", "values"),
        [
            ("held", StockItem, {"reserved": -1}),
            ("held", StockItem, {"on_hand": 2, "reserved": 3}),
            ("held", StockItem, {"on_hand": -1}),
            ("held", Reservation, {"ended_at": "2030-06-01T12:00Z"}),
            ("held", Reservation, {"status": "released"}),
            ("released", Reservation, {"ended_at": None}),
            ("held", ReservationLine, {"quantity": 0}),
        ],
    )
    def test_reject_an_update(self, status: str, model: type[models.Model], values):
        make_reservation(status)

        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.update(**values)

    @pytest.mark.parametrize("model", [Reservation, ReservationLine])
    def test_reject_a_second_reservation_of_one_order_and_a_second_line_of_one_sku(self, model):
        make_reservation("held")
        row = model.objects.get()
        row.pk = None

        with pytest.raises(IntegrityError), transaction.atomic():
            row.save(force_insert=True)

    @pytest.mark.parametrize(
        "values",
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
    def test_reject_a_movement(self, values):
        make_reservation("committed")

        with pytest.raises(IntegrityError), transaction.atomic():
            StockMovement.objects.create(**{"sku": "RED-CHAIR", "at": timezone.now()} | values)
