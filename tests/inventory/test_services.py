from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction

from inventory import services
from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from messaging import contracts
from messaging.contracts import Line
from tests.factories import make_stock
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, published

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def an_order() -> str:
    return str(uuid4())


def chairs(quantity: int) -> list[Line]:
    return [Line(sku="RED-CHAIR", quantity=quantity)]


def counters(sku: str = "RED-CHAIR") -> tuple[int, int]:
    return StockItem.objects.values_list("on_hand", "reserved").get(sku=sku)


class TestReserve:
    def test_promises_all_of_an_order(self):
        make_stock(10)
        make_stock(10, sku="OAK-TABLE")
        order_id = an_order()

        services.reserve({order_id: [*chairs(3), Line(sku="OAK-TABLE", quantity=1)]}, now=NOON)

        assert (counters("RED-CHAIR"), counters("OAK-TABLE")) == ((10, 3), (10, 1))
        reservation = Reservation.objects.get()
        assert (reservation.order_id, reservation.status, reservation.created_at) == (UUID(order_id), "held", NOON)
        assert set(reservation.lines.values_list("sku", "quantity")) == {("RED-CHAIR", 3), ("OAK-TABLE", 1)}
        assert published(contracts.StockReserved) == [contracts.StockReserved(order_id=order_id)]

    def test_promises_nothing_when_one_line_is_short_and_names_it(self):
        make_stock(10)
        make_stock(1, sku="OAK-TABLE")
        order_id = an_order()
        wanted = [*chairs(3), Line(sku="OAK-TABLE", quantity=2), Line(sku="NEVER-STOCKED", quantity=1)]

        services.reserve({order_id: wanted}, now=NOON)

        assert (counters("RED-CHAIR"), counters("OAK-TABLE")) == ((10, 0), (1, 0))
        assert not Reservation.objects.exists()
        assert published(contracts.StockRejected) == [
            contracts.StockRejected(order_id=order_id, missing=("OAK-TABLE", "NEVER-STOCKED"))
        ]

    def test_serves_first_come_first_and_whoever_fits_after(self):
        make_stock(10)
        first, too_many, fits = an_order(), an_order(), an_order()

        services.reserve({first: chairs(7), too_many: chairs(4), fits: chairs(3)}, now=NOON)

        assert counters() == (10, 10)
        assert [event.order_id for event in published(contracts.StockReserved)] == [first, fits]
        assert [event.order_id for event in published(contracts.StockRejected)] == [too_many]

    def test_answers_an_order_once(self):
        make_stock(10)
        order_id = an_order()

        services.reserve({order_id: chairs(3)}, now=NOON)
        services.reserve({order_id: chairs(3)}, now=NOON)

        assert counters() == (10, 3)
        assert len(published(contracts.StockReserved)) == 1

    def test_announces_what_is_sold_out_by_it(self):
        make_stock(3)

        services.reserve({an_order(): chairs(3)}, now=NOON)

        assert published(contracts.StockDepleted) == [contracts.StockDepleted(sku="RED-CHAIR", revision=2)]


class TestCommit:
    def test_ships_the_promised_stock_and_enters_it_in_the_ledger(self):
        make_stock(10)
        order_id = an_order()
        services.reserve({order_id: chairs(3)}, now=NOON)

        services.commit([order_id], now=NOON)

        assert counters() == (7, 0)
        assert list(StockMovement.objects.values_list("kind", "sku", "quantity", "order_id").order_by("id")) == [
            ("opening", "RED-CHAIR", 10, None),
            ("shipped", "RED-CHAIR", -3, UUID(order_id)),
        ]

    def test_ships_once(self):
        make_stock(10)
        order_id = an_order()
        services.reserve({order_id: chairs(3)}, now=NOON)

        services.commit([order_id], now=NOON)
        services.commit([order_id], now=NOON)

        assert counters() == (7, 0)

    def test_ships_nobody_when_one_order_holds_nothing(self):
        make_stock(10)
        holding, without = an_order(), an_order()
        services.reserve({holding: chairs(3)}, now=NOON)

        with pytest.raises(services.ReservationNotHeld, match=without):
            services.commit([holding, without], now=NOON)

        assert counters() == (10, 3)


class TestRelease:
    def test_gives_the_promised_stock_back_and_announces_what_is_available_again(self):
        make_stock(3)
        order_id = an_order()
        services.reserve({order_id: chairs(3)}, now=NOON)
        before = published(contracts.StockReplenished)

        services.release([order_id], now=NOON)

        assert counters() == (3, 0)
        assert Reservation.objects.values_list("status", "ended_at").get() == ("released", NOON)
        assert published(contracts.StockReplenished) == [
            *before,
            contracts.StockReplenished(sku="RED-CHAIR", revision=3),
        ]

    def test_gives_back_once_however_often_it_is_told(self):
        make_stock(10)
        order_id = an_order()
        services.reserve({order_id: chairs(3), an_order(): chairs(5)}, now=NOON)

        for _ in range(3):
            services.release([order_id], now=NOON)

        assert counters() == (10, 5)

    def test_keeps_an_order_from_stock_that_was_cancelled_before_it_was_promised_any(self):
        make_stock(10)
        order_id = an_order()
        services.release([order_id], now=NOON)

        services.reserve({order_id: chairs(3)}, now=NOON)

        assert counters() == (10, 0)
        assert Reservation.objects.values_list("order_id", "status").get() == (UUID(order_id), "released")
        assert published(contracts.StockReserved) == published(contracts.StockRejected) == []

    def test_takes_nothing_back_of_what_was_shipped(self):
        make_stock(10)
        order_id = an_order()
        services.reserve({order_id: chairs(3)}, now=NOON)
        services.commit([order_id], now=NOON)

        services.release([order_id], now=NOON)

        assert counters() == (7, 0)
        assert Reservation.objects.get().status == "committed"


class TestOpenStockItems:
    def test_opens_an_item_with_its_opening_stock_once(self):
        services.open_stock_items(["RED-CHAIR"], opening=10, now=NOON)
        services.open_stock_items(["RED-CHAIR"], opening=99, now=NOON)

        assert counters() == (10, 0)
        assert list(StockMovement.objects.values_list("kind", "quantity")) == [("opening", 10)]

    def test_gives_its_opening_stock_to_an_item_that_was_opened_empty(self):
        services.open_stock_items(["RED-CHAIR"], now=NOON)

        services.open_stock_items(["RED-CHAIR"], opening=10, now=NOON)

        assert counters() == (10, 0)


class TestReceive:
    def test_puts_goods_on_the_shelf_and_announces_what_is_available_again(self):
        make_stock(0)

        services.receive({"RED-CHAIR": 5, "OAK-TABLE": 2}, now=NOON)

        assert (counters("RED-CHAIR"), counters("OAK-TABLE")) == ((5, 0), (2, 0))
        assert set(StockMovement.objects.values_list("kind", "sku", "quantity")) == {
            ("received", "RED-CHAIR", 5),
            ("received", "OAK-TABLE", 2),
        }
        assert announced() == {"inventory.stock_replenished": 2}

    @pytest.mark.parametrize("quantity", [0, -5])
    def test_refuses_what_is_no_gain(self, quantity):
        make_stock(10)

        with pytest.raises(IntegrityError), transaction.atomic():
            services.receive({"RED-CHAIR": quantity}, now=NOON)

        assert counters() == (10, 0)


class TestWithdraw:
    def test_takes_goods_off_the_shelf_and_announces_what_is_sold_out(self):
        make_stock(10)

        services.withdraw({"RED-CHAIR": 10}, now=NOON)

        assert counters() == (0, 0)
        assert list(StockMovement.objects.values_list("kind", "quantity").order_by("id"))[1:] == [("withdrawn", -10)]
        assert published(contracts.StockDepleted) == [contracts.StockDepleted(sku="RED-CHAIR", revision=2)]

    def test_never_touches_what_is_promised(self):
        make_stock(10)
        services.reserve({an_order(): chairs(3)}, now=NOON)

        with pytest.raises(services.NotEnoughStock, match="RED-CHAIR"):
            services.withdraw({"RED-CHAIR": 8}, now=NOON)

        assert counters() == (10, 3)


class TestSets:
    def test_cost_as_many_statements_for_two_hundred_as_for_two(self):
        make_stock(1_000)
        ids = [an_order() for _ in range(202)]
        steps = [
            lambda some: services.reserve({order_id: chairs(1) for order_id in some}, now=NOON),
            lambda some: services.commit(some, now=NOON),
            lambda some: services.release(some, now=NOON),
        ]

        for step in steps:
            with counting_statements() as for_two:
                step(ids[:2])
            with counting_statements() as for_many:
                step(ids[2:])

            assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert counters() == (798, 0)
        assert ReservationLine.objects.count() == 202
