from uuid import UUID, uuid4

import pytest
from django.db import transaction

from inventory import services
from inventory.models import Reservation, ReservationLine, StockMovement
from messaging import contracts
from messaging.contracts import Line
from messaging.outbox import publish
from tests.factories import make_stock
from tests.inventory.stock import NOON, chairs
from tests.journeys.orders import Stock, stock
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published

pytestmark = pytest.mark.django_db


def new_order_id() -> str:
    return str(uuid4())


class TestReserve:
    def test_reserves_every_line_of_an_order(self):
        make_stock(10)
        make_stock(10, sku="OAK-TABLE")
        order_id = new_order_id()

        services.reserve({order_id: [*chairs(3), Line(sku="OAK-TABLE", quantity=1)]}, now=NOON)

        assert stock("RED-CHAIR") == Stock(on_hand=10, reserved=3)
        assert stock("OAK-TABLE") == Stock(on_hand=10, reserved=1)
        reservation = Reservation.objects.get()
        assert (reservation.order_id, reservation.status, reservation.created_at) == (UUID(order_id), "held", NOON)
        assert dict(reservation.lines.values_list("sku", "quantity")) == {"RED-CHAIR": 3, "OAK-TABLE": 1}
        assert published(contracts.StockReserved) == [contracts.StockReserved(order_id=order_id)]

    def test_reserves_nothing_if_a_line_is_short_and_names_each_missing_sku(self):
        make_stock(10)
        make_stock(1, sku="OAK-TABLE")
        order_id = new_order_id()
        lines = [*chairs(3), Line(sku="OAK-TABLE", quantity=2), Line(sku="NEVER-STOCKED", quantity=1)]

        services.reserve({order_id: lines}, now=NOON)

        assert (stock("RED-CHAIR"), stock("OAK-TABLE")) == (Stock(on_hand=10), Stock(on_hand=1))
        assert not Reservation.objects.exists()
        assert published(contracts.StockRejected) == [
            contracts.StockRejected(order_id=order_id, missing=("OAK-TABLE", "NEVER-STOCKED"))
        ]

    def test_serves_orders_by_arrival_and_skips_those_that_do_not_fit(self):
        make_stock(10)
        first, too_large, small = new_order_id(), new_order_id(), new_order_id()

        services.reserve({first: chairs(7), too_large: chairs(4), small: chairs(3)}, now=NOON)

        assert stock() == Stock(on_hand=10, reserved=10)
        assert [event.order_id for event in published(contracts.StockReserved)] == [first, small]
        assert [event.order_id for event in published(contracts.StockRejected)] == [too_large]

    def test_publishes_how_many_are_left_of_an_item_that_runs_low_until_it_is_depleted(self):
        make_stock(10)

        for quantity in (4, 1, 2, 3):
            services.reserve({new_order_id(): chairs(quantity)}, now=NOON)

        assert published(contracts.StockRunningLow) == [
            contracts.StockRunningLow(sku="RED-CHAIR", available=5, revision=2),
            contracts.StockRunningLow(sku="RED-CHAIR", available=3, revision=3),
        ]
        assert published(contracts.StockDepleted) == [contracts.StockDepleted(sku="RED-CHAIR", revision=4)]

    def test_publishes_nothing_about_an_item_of_which_many_are_left(self):
        make_stock(100)

        services.reserve({new_order_id(): chairs(9) for _ in range(10)}, now=NOON)

        assert published(contracts.StockRunningLow) == []


class TestCommit:
    def test_ships_the_reserved_stock_and_records_a_movement(self):
        make_stock(10)
        order_id = new_order_id()
        services.reserve({order_id: chairs(3)}, now=NOON)

        services.commit([order_id], now=NOON)

        assert stock() == Stock(on_hand=7)
        assert Reservation.objects.get().status == "committed"
        assert list(StockMovement.objects.values_list("kind", "sku", "quantity", "order_id").order_by("id")) == [
            ("opening", "RED-CHAIR", 10, None),
            ("shipped", "RED-CHAIR", -3, UUID(order_id)),
        ]

    def test_ships_nothing_if_one_order_has_no_reservation(self):
        make_stock(10)
        with_reservation, without = new_order_id(), new_order_id()
        services.reserve({with_reservation: chairs(3)}, now=NOON)

        with pytest.raises(services.ReservationNotHeld, match=without):
            services.commit([with_reservation, without], now=NOON)

        assert stock() == Stock(on_hand=10, reserved=3)


class TestRelease:
    def test_releases_the_stock_and_publishes_that_it_is_replenished(self):
        make_stock(10)
        order_id = new_order_id()
        services.reserve({order_id: chairs(10)}, now=NOON)
        before = published(contracts.StockReplenished)

        services.release([order_id], now=NOON)

        assert stock() == Stock(on_hand=10)
        assert Reservation.objects.values_list("status", "ended_at").get() == ("released", NOON)
        assert published(contracts.StockReplenished) == [
            *before,
            contracts.StockReplenished(sku="RED-CHAIR", revision=3),
        ]

    def test_publishes_how_many_of_a_depleted_item_are_released_if_few(self):
        make_stock(3)
        order_id = new_order_id()
        services.reserve({order_id: chairs(3)}, now=NOON)

        services.release([order_id], now=NOON)

        assert [event.revision for event in published(contracts.StockReplenished)] == [1, 4]
        assert [(event.available, event.revision) for event in published(contracts.StockRunningLow)] == [(3, 2), (3, 5)]

    def test_publishes_that_many_of_an_item_that_ran_low_are_left_again(self):
        make_stock(10)
        order_id = new_order_id()
        services.reserve({order_id: chairs(8)}, now=NOON)

        services.release([order_id], now=NOON)

        assert [event.revision for event in published(contracts.StockReplenished)] == [1, 3]

    def test_prevents_a_later_reservation_of_the_order(self):
        make_stock(10)
        order_id = new_order_id()
        services.release([order_id], now=NOON)

        services.reserve({order_id: chairs(3)}, now=NOON)

        assert stock() == Stock(on_hand=10)
        assert Reservation.objects.values_list("order_id", "status").get() == (UUID(order_id), "released")
        assert published(contracts.StockReserved) == published(contracts.StockRejected) == []


class TestOpenStockItems:
    def test_opens_an_item_with_its_opening_stock_once(self):
        services.open_stock_items(["RED-CHAIR"], opening=10, now=NOON)
        services.open_stock_items(["RED-CHAIR"], opening=99, now=NOON)

        assert stock() == Stock(on_hand=10)
        assert list(StockMovement.objects.values_list("kind", "quantity")) == [("opening", 10)]

    def test_opens_an_empty_item_for_a_new_product_and_adds_its_opening_stock_later(self, drain):
        with transaction.atomic():
            publish(contracts.ProductAdded(sku="RED-CHAIR", name="Red chair"))
        drain()
        assert stock() == Stock(on_hand=0)

        services.open_stock_items(["RED-CHAIR"], opening=10, now=NOON)

        assert stock() == Stock(on_hand=10)


class TestReceive:
    def test_adds_the_goods_and_publishes_that_they_are_replenished(self):
        make_stock(0)

        services.receive({"RED-CHAIR": 9, "OAK-TABLE": 2}, now=NOON)

        assert (stock("RED-CHAIR"), stock("OAK-TABLE")) == (Stock(on_hand=9), Stock(on_hand=2))
        assert set(StockMovement.objects.values_list("kind", "sku", "quantity")) == {
            ("received", "RED-CHAIR", 9),
            ("received", "OAK-TABLE", 2),
        }
        assert announced() == {"inventory.stock_replenished": 2, "inventory.stock_running_low": 1}


class TestWithdraw:
    def test_removes_the_goods_and_publishes_that_the_item_is_depleted(self):
        make_stock(10)

        services.withdraw({"RED-CHAIR": 10}, now=NOON)

        assert stock() == Stock(on_hand=0)
        assert list(StockMovement.objects.values_list("kind", "quantity").order_by("id"))[1:] == [("withdrawn", -10)]
        assert published(contracts.StockDepleted) == [contracts.StockDepleted(sku="RED-CHAIR", revision=2)]

    def test_rejects_more_than_the_available_stock(self):
        make_stock(10)
        services.reserve({new_order_id(): chairs(3)}, now=NOON)

        with pytest.raises(services.NotEnoughStock, match="RED-CHAIR"):
            services.withdraw({"RED-CHAIR": 8}, now=NOON)

        assert stock() == Stock(on_hand=10, reserved=3)


def test_a_batch_of_two_hundred_costs_as_many_statements_as_one_of_two():
    make_stock(1_000)
    ids = [new_order_id() for _ in range(202)]
    steps = [
        lambda batch: services.reserve({order_id: chairs(1) for order_id in batch}, now=NOON),
        lambda batch: services.commit(batch, now=NOON),
        lambda batch: services.release(batch, now=NOON),
    ]

    for step in steps:
        with counting_statements() as for_two:
            step(ids[:2])
        with counting_statements() as for_many:
            step(ids[2:])

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
    assert stock() == Stock(on_hand=798)
    assert ReservationLine.objects.count() == 202
