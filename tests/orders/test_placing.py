from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, transaction

from messaging import contracts
from messaging.models import Delivery, OutboxMessage
from orders import placing
from orders.drafts import DraftLine, OrderProblem
from orders.models import HistoryEntry, Order, OrderLine, Product
from tests.factories import BASE_URL, make_customer, make_draft, make_product, place_order
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, full_disk_at, published

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _offered():
    make_product(sku="RED-CHAIR", price=4_500)
    make_product(sku="OAK-TABLE", price=20_000)


def nothing_is_stored() -> bool:
    return not any(model.objects.exists() for model in (Order, OrderLine, HistoryEntry, OutboxMessage, Delivery))


class TestPlaceOrder:
    def test_stores_the_order_and_announces_it(self):
        ada = make_customer()

        placement = placing.place_order(make_draft({"RED-CHAIR": 2, "OAK-TABLE": 1}), now=NOON, base_url=BASE_URL)

        order = placement.order
        stored = Order.objects.values("customer", "status", "currency", "total", "refunded", "email", "placed_at").get()
        assert placement.is_new
        assert stored == {
            "customer": ada.pk,
            "status": "placed",
            "currency": "GBP",
            "total": 29_000,
            "refunded": 0,
            "email": "ada@example.com",
            "placed_at": NOON,
        }
        assert list(order.lines.order_by("id").values_list("sku", "name", "quantity", "unit_price")) == [
            ("RED-CHAIR", "Red chair", 2, 4_500),
            ("OAK-TABLE", "Oak table", 1, 20_000),
        ]
        assert list(order.history.values_list("previous", "status", "at")) == [("", "placed", NOON)]
        lines = (contracts.Line(sku="RED-CHAIR", quantity=2), contracts.Line(sku="OAK-TABLE", quantity=1))
        assert published(contracts.OrderPlaced) == [contracts.OrderPlaced(order_id=str(order.pk), lines=lines)]

    def test_merges_lines_by_sku_and_price_and_announces_each_sku_once(self):
        lines = [
            DraftLine(sku="RED-CHAIR", quantity=1),
            DraftLine(sku="RED-CHAIR", quantity=2, unit_price=4_000),
            DraftLine(sku="RED-CHAIR", quantity=3, unit_price=4_500),
        ]

        order = placing.place_order(make_draft(lines=lines), now=NOON, base_url=BASE_URL).order

        assert list(order.lines.values_list("quantity", "unit_price").order_by("unit_price")) == [
            (2, 4_000),
            (4, 4_500),
        ]
        assert order.total == 26_000
        assert published(contracts.OrderPlaced)[0].lines == (contracts.Line(sku="RED-CHAIR", quantity=6),)

    @pytest.mark.parametrize(
        ("wishes", "problem"),
        [
            ({"lines": []}, ("empty_order", "lines")),
            ({"lines": [DraftLine(sku="RED-CHAIR", quantity=1)] * 101}, ("too_many_lines", "lines")),
            ({"lines": [DraftLine(sku="GREEN-CHAIR", quantity=1)]}, ("unknown_sku", "lines/0/sku")),
            ({"lines": [DraftLine(sku=" red chair", quantity=1)]}, ("invalid_sku", "lines/0/sku")),
            ({"lines": [DraftLine(sku="RED-CHAIR\n", quantity=1)]}, ("invalid_sku", "lines/0/sku")),
            ({"lines": [DraftLine(sku="RED-CHAIR", quantity=0)]}, ("invalid_quantity", "lines/0/quantity")),
            ({"lines": [DraftLine(sku="RED-CHAIR", quantity=-1)]}, ("invalid_quantity", "lines/0/quantity")),
            ({"lines": [DraftLine(sku="RED-CHAIR", quantity=1_001)]}, ("quantity_too_large", "lines/0/quantity")),
            (
                {"lines": [DraftLine(sku="RED-CHAIR", quantity=1, unit_price=-1)]},
                ("invalid_price", "lines/0/unit_price"),
            ),
            (
                {"lines": [DraftLine(sku="RED-CHAIR", quantity=1_000, unit_price=2**53 - 1)]},
                ("total_too_large", "lines"),
            ),
            ({"expected_total": 4_400}, ("price_changed", "expected_total")),
        ],
    )
    def test_names_the_problem_and_stores_nothing(self, wishes, problem):
        with pytest.raises(placing.InvalidOrder) as refusal:
            placing.place_order(make_draft(**wishes), now=NOON, base_url=BASE_URL)

        assert [(found.code, found.field) for found in refusal.value.problems] == [problem]
        assert nothing_is_stored()

    def test_names_every_problem_of_every_line(self):
        lines = [DraftLine(sku="GREEN-CHAIR", quantity=0), DraftLine(sku="RED-CHAIR", quantity=-5)]

        with pytest.raises(placing.InvalidOrder) as refusal:
            placing.place_order(make_draft(lines=lines), now=NOON, base_url=BASE_URL)

        assert [found.field for found in refusal.value.problems] == [
            "lines/0/sku",
            "lines/0/quantity",
            "lines/1/quantity",
        ]

    def test_finds_the_order_that_the_same_request_placed(self):
        draft = make_draft(idempotency_key="basket-1")
        placed = placing.place_order(draft, now=NOON, base_url=BASE_URL)

        repeated = placing.place_order(draft, now=NOON + timedelta(days=1), base_url=BASE_URL)

        assert (repeated.order, repeated.is_new) == (placed.order, False)
        assert announced() == {"orders.order_placed": 1}

    def test_finds_it_though_the_price_changed_meanwhile(self):
        draft = make_draft(idempotency_key="basket-1", expected_total=4_500)
        placed = placing.place_order(draft, now=NOON, base_url=BASE_URL)
        Product.objects.filter(sku="RED-CHAIR").update(price=4_600)

        repeated = placing.place_order(draft, now=NOON, base_url=BASE_URL)

        assert (repeated.order, repeated.is_new) == (placed.order, False)

    def test_refuses_a_used_key_for_another_order(self):
        placing.place_order(make_draft(idempotency_key="basket-1"), now=NOON, base_url=BASE_URL)

        with pytest.raises(placing.IdempotencyKeyReused):
            placing.place_order(make_draft({"RED-CHAIR": 2}, idempotency_key="basket-1"), now=NOON, base_url=BASE_URL)

        assert Order.objects.get().total == 4_500
        assert announced() == {"orders.order_placed": 1}

    def test_keeps_the_keys_of_different_customers_apart(self):
        of_ada = place_order(idempotency_key="basket-1")
        of_bob = place_order(idempotency_key="basket-1", customer_id=make_customer(username="bob").pk)

        assert of_ada.pk != of_bob.pk

    def test_takes_every_order_without_a_key_as_a_new_one(self):
        assert place_order().pk != place_order().pk

    @pytest.mark.parametrize(
        "table",
        ["orders_order", "orders_orderline", "orders_historyentry", "messaging_outboxmessage", "messaging_delivery"],
    )
    def test_leaves_no_orphan_when_the_database_fails_at(self, table):
        with full_disk_at(table), pytest.raises(DatabaseError, match="The disk is full"), transaction.atomic():
            placing.place_order(make_draft(), now=NOON, base_url=BASE_URL)

        assert nothing_is_stored()


class TestPlaceOrders:
    def test_answers_each_draft_in_its_place(self):
        drafts = [
            make_draft(idempotency_key="first"),
            make_draft({"GREEN-CHAIR": 1}, idempotency_key="unknown"),
            make_draft(idempotency_key="first"),
        ]

        first, unknown, repeated = placing.place_orders(drafts, now=NOON)

        detail = "No product has the sku 'GREEN-CHAIR'."
        assert unknown.problems == [OrderProblem(code="unknown_sku", field="lines/0/sku", detail=detail)]
        assert unknown.order is None
        assert repeated.order == first.order
        assert Order.objects.count() == 1

    @pytest.mark.parametrize("used", [False, True])
    def test_costs_as_many_statements_for_two_hundred_as_for_two(self, used):
        drafts = [make_draft(idempotency_key=f"basket-{at}") for at in range(202)]
        if used:
            placing.place_orders(drafts, now=NOON)

        with counting_statements() as for_two:
            placing.place_orders(drafts[:2], now=NOON)
        with counting_statements() as for_many:
            placing.place_orders(drafts[2:], now=NOON)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
