from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, transaction

from messaging import contracts
from messaging.kernel import order_numbers
from messaging.kernel.order_numbers import parse_number
from messaging.models import Delivery, OutboxMessage
from orders import placing
from orders.drafts import DraftLine, OrderProblem
from orders.models import HistoryEntry, Order, OrderLine, Product, StoredResponse
from tests.factories import BASE_URL, CustomerFactory, ProductFactory, make_draft, place_order
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements, full_disk_at, published

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _products():
    ProductFactory(sku="RED-CHAIR", price=4_500)
    ProductFactory(sku="OAK-TABLE", price=20_000)


@pytest.fixture
def draw(monkeypatch) -> Callable[..., None]:
    """
    Have order numbers made of these random bits, one after the other.
    """

    def prepare(*bits: int) -> None:
        drawn = iter(bits)
        monkeypatch.setattr(order_numbers, "randbits", lambda _: next(drawn))

    return prepare


def is_unchanged() -> bool:
    return not any(model.objects.exists() for model in (Order, OrderLine, HistoryEntry, OutboxMessage, Delivery))


def problems_of(**fields: object) -> list[str]:
    """
    Return the code and field of each problem of an invalid order.
    """
    with pytest.raises(placing.InvalidOrder) as raised:
        placing.place_order(make_draft(**fields), now=NOON, base_url=BASE_URL)
    return [f"{problem.code}: {problem.field}" for problem in raised.value.problems]


class TestPlaceOrder:
    def test_stores_and_publishes_the_order(self):
        ada = CustomerFactory()

        contact = {"phone": "+441632960123", "language": "de"}
        draft = make_draft({"RED-CHAIR": 2, "OAK-TABLE": 1}, **contact)
        placed = placing.place_order(draft, now=NOON, base_url=BASE_URL)

        order = Order.objects.get(pk=placed.order.pk)
        assert placed.is_new
        assert (order.customer, order.email, order.placed_at) == (ada, "ada@example.com", NOON)
        assert (order.status, order.currency, order.total, order.refunded) == ("placed", "GBP", 29_000, 0)
        assert list(order.lines.order_by("id").values_list("sku", "name", "quantity", "unit_price")) == [
            ("RED-CHAIR", "Red chair", 2, 4_500),
            ("OAK-TABLE", "Oak table", 1, 20_000),
        ]
        assert list(order.history.values_list("previous", "status", "at")) == [("", "placed", NOON)]
        lines = (contracts.Line(sku="RED-CHAIR", quantity=2), contracts.Line(sku="OAK-TABLE", quantity=1))
        assert published(contracts.OrderPlaced) == [
            contracts.OrderPlaced(
                order_id=str(order.pk),
                lines=lines,
                customer_id=str(ada.pk),
                number=parse_number(order.number),
                email="ada@example.com",
                **contact,
                total=29_000,
                currency="GBP",
                bought=(
                    contracts.ConfirmedLine(sku="RED-CHAIR", name="Red chair", quantity=2, unit_price=4_500),
                    contracts.ConfirmedLine(sku="OAK-TABLE", name="Oak table", quantity=1, unit_price=20_000),
                ),
            )
        ]

    def test_merges_lines_by_sku_and_price_and_publishes_each_sku_once(self):
        lines = [
            DraftLine(sku="RED-CHAIR", quantity=1),
            DraftLine(sku="RED-CHAIR", quantity=2, unit_price=4_000),
            DraftLine(sku="RED-CHAIR", quantity=3, unit_price=4_500),
        ]

        order = placing.place_order(make_draft(lines=lines), now=NOON, base_url=BASE_URL).order

        assert dict(order.lines.values_list("unit_price", "quantity")) == {4_000: 2, 4_500: 4}
        assert order.total == 26_000
        assert published(contracts.OrderPlaced)[0].lines == (contracts.Line(sku="RED-CHAIR", quantity=6),)

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (DraftLine(sku="GREEN-CHAIR", quantity=1), "unknown_sku: lines/0/sku"),
            (DraftLine(sku=" red chair", quantity=1), "invalid_sku: lines/0/sku"),
            (DraftLine(sku="RED-CHAIR\n", quantity=1), "invalid_sku: lines/0/sku"),
            (DraftLine(sku="RED-CHAIR", quantity=0), "invalid_quantity: lines/0/quantity"),
            (DraftLine(sku="RED-CHAIR", quantity=-1), "invalid_quantity: lines/0/quantity"),
            (DraftLine(sku="RED-CHAIR", quantity=1_001), "quantity_too_large: lines/0/quantity"),
            (DraftLine(sku="RED-CHAIR", quantity=1, unit_price=-1), "invalid_price: lines/0/unit_price"),
            (DraftLine(sku="RED-CHAIR", quantity=1_000, unit_price=2**53 - 1), "total_too_large: lines"),
        ],
    )
    def test_rejects_an_invalid_line(self, line, problem):
        assert problems_of(lines=[line]) == [problem]
        assert is_unchanged()

    @pytest.mark.parametrize(
        ("fields", "problems"),
        [
            ({"lines": []}, ["empty_order: lines"]),
            ({"lines": [DraftLine(sku="RED-CHAIR", quantity=1)] * 101}, ["too_many_lines: lines"]),
            ({"expected_total": 4_400}, ["price_changed: expected_total"]),
            (
                {"lines": [DraftLine(sku="GREEN-CHAIR", quantity=0), DraftLine(sku="RED-CHAIR", quantity=-5)]},
                [
                    "unknown_sku: lines/0/sku",
                    "invalid_quantity: lines/0/quantity",
                    "invalid_quantity: lines/1/quantity",
                ],
            ),
        ],
    )
    def test_rejects_an_invalid_order_and_names_every_problem(self, fields, problems):
        assert problems_of(**fields) == problems
        assert is_unchanged()

    def test_returns_the_order_of_the_same_request_even_after_a_price_change(self):
        draft = make_draft(idempotency_key="basket-1", expected_total=4_500)
        first = placing.place_order(draft, now=NOON, base_url=BASE_URL)
        Product.objects.filter(sku="RED-CHAIR").update(price=4_600)

        second = placing.place_order(draft, now=NOON + timedelta(days=1), base_url=BASE_URL)

        assert (second.order, second.is_new) == (first.order, False)
        assert announced() == {"orders.order_placed": 1}

    def test_takes_a_request_in_another_language_as_the_same(self):
        draft = make_draft(idempotency_key="basket-1", language="en")
        first = placing.place_order(draft, now=NOON, base_url=BASE_URL)

        second = placing.place_order(replace(draft, language="de"), now=NOON, base_url=BASE_URL)

        assert (second.order, second.order.language, second.is_new) == (first.order, "en", False)

    def test_places_a_new_order_for_every_request_without_a_key(self):
        assert place_order().pk != place_order().pk

    def test_draws_another_number_if_one_is_taken(self, draw):
        draw(1, 1, 1, 2)
        first, second = place_order(), place_order()

        assert (first.number, second.number) == ("1000-000M", "2000-000D")
        assert StoredResponse.objects.count() == OrderLine.objects.count() == 2
        assert [event.number for event in published(contracts.OrderPlaced)] == [first.number, second.number]

    @pytest.mark.parametrize(
        "table",
        ["orders_order", "orders_orderline", "orders_historyentry", "messaging_outboxmessage", "messaging_delivery"],
    )
    def test_stores_nothing_if_an_insert_fails(self, table):
        with full_disk_at(table), pytest.raises(DatabaseError, match="The disk is full"), transaction.atomic():
            placing.place_order(make_draft(), now=NOON, base_url=BASE_URL)

        assert is_unchanged()
        assert placing.place_order(make_draft(), now=NOON, base_url=BASE_URL).is_new


class TestPlaceOrders:
    def test_returns_a_result_per_draft_in_their_order(self):
        drafts = [
            make_draft(idempotency_key="first"),
            make_draft({"GREEN-CHAIR": 1}, idempotency_key="unknown"),
            make_draft(idempotency_key="first"),
        ]

        first, unknown, repeated = placing.place_orders(drafts, now=NOON)

        detail = "No product has the sku 'GREEN-CHAIR'."
        assert isinstance(unknown, placing.InvalidOrder)
        assert unknown.problems == [OrderProblem(code="unknown_sku", field="lines/0/sku", detail=detail)]
        assert (first.is_new, repeated.is_new, repeated.order) == (True, False, first.order)
        assert Order.objects.count() == 1

    def test_loses_no_order_whose_number_is_taken(self, draw):
        draw(1, 2, 2, 1, 3, 2, 4)
        place_order()

        placed = placing.place_orders([make_draft(idempotency_key=f"basket-{key}") for key in range(3)], now=NOON)

        assert sorted(result.order.number for result in placed) == ["2000-000D", "3000-000S", "4000-000T"]
        assert OrderLine.objects.count() == HistoryEntry.objects.count() == 4
        assert len({event.number for event in published(contracts.OrderPlaced)}) == 4

    @pytest.mark.parametrize("repeated", [False, True])
    def test_costs_as_many_statements_for_two_hundred_as_for_two(self, repeated):
        drafts = [make_draft(idempotency_key=f"basket-{number}") for number in range(202)]
        if repeated:
            placing.place_orders(drafts, now=NOON)

        with counting_statements() as for_two:
            placing.place_orders(drafts[:2], now=NOON)
        with counting_statements() as for_many:
            placing.place_orders(drafts[2:], now=NOON)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
