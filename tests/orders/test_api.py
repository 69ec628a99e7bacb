from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from messaging.kernel.order_numbers import parse_number
from messaging.models import Delivery, OutboxMessage
from orders import placing, services
from orders.models import HistoryEntry, Order, OrderLine, Product, StoredResponse
from tests.factories import CustomerFactory, ProductFactory, make_draft, place_order
from tests.outbox import announced, counting_statements

pytestmark = pytest.mark.django_db

ORDERS = "/api/v1/orders/"
PRODUCTS = "/api/v1/products/"
OLD_STOOL = {"sku": "OLD-STOOL", "quantity": 1}
CHANGED_PRICE = "The order costs 9000, not 9200: look at the prices and order again."
TABLES = (Order, OrderLine, HistoryEntry, StoredResponse, OutboxMessage, Delivery)


@pytest.fixture(autouse=True)
def _product():
    ProductFactory(sku="RED-CHAIR", price=4_500)


def body(**changes: object) -> dict[str, object]:
    """
    Return the body of an order of two red chairs.
    """
    lines = [{"sku": "RED-CHAIR", "quantity": 2}]
    return {"lines": lines, "payment_method": "tok_visa", "expected_total": 9_000} | changes


def post(api: APIClient, body: dict[str, object], *, key: str = "basket-1") -> Any:
    return api.post(ORDERS, body, format="json", headers={"Idempotency-Key": key})


def error_of(response: HttpResponse) -> dict[str, object]:
    """
    Return the code and the field errors of an error response.
    """
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    return {"status": response.status_code, "code": problem["code"], "errors": problem.get("errors", [])}


def is_unchanged() -> bool:
    return not any(model.objects.exists() for model in TABLES)


class TestPlace:
    def test_returns_the_stored_order(self, api):
        response = post(api, body(phone="+441134960000", note="Ring twice"))

        order = Order.objects.get()
        placed_at = order.placed_at.isoformat().replace("+00:00", "Z")
        assert response.status_code == 201
        assert response.json() == {
            "url": f"http://testserver{ORDERS}{order.pk}/",
            "id": str(order.pk),
            "number": parse_number(order.number),
            "status": "placed",
            "is_open": True,
            "cancel_reason": "",
            "currency": "GBP",
            "total": 9_000,
            "refunded": 0,
            "email": "ada@example.com",
            "phone": "+441134960000",
            "note": "Ring twice",
            "placed_at": placed_at,
            "lines": [{"sku": "RED-CHAIR", "name": "Red chair", "quantity": 2, "unit_price": 4_500}],
            "history": [{"status": "placed", "at": placed_at}],
            "refunds": [],
        }
        assert response.headers["Location"] == response.json()["url"]
        assert api.get(response.headers["Location"]).json() == response.json()
        assert announced() == {"orders.order_placed": 1}

    @pytest.mark.parametrize(
        ("fields", "email"),
        [({}, "ada@example.com"), ({"email": ""}, "ada@example.com"), ({"email": "o@example.com"}, "o@example.com")],
    )
    def test_uses_the_email_of_the_account_by_default(self, api, fields, email):
        post(api, body(**fields))

        assert Order.objects.get().email == email

    @pytest.mark.parametrize(
        ("changes", "code", "pointer", "detail"),
        [
            ({"expected_total": 9_200}, "price_changed", "#/expected_total", CHANGED_PRICE),
            ({"lines": [OLD_STOOL]}, "sku_not_available", "#/lines/0/sku", "'OLD-STOOL' is no longer sold."),
        ],
    )
    def test_explains_a_rejection(self, api, changes, code, pointer, detail):
        ProductFactory(sku="OLD-STOOL", active=False)

        response = post(api, body(**changes))

        assert error_of(response)["errors"] == [{"code": code, "detail": detail, "pointer": pointer}]
        assert is_unchanged()

    def test_limits_the_number_of_open_orders(self, api, settings):
        settings.ORDERS = replace(settings.ORDERS, max_open_orders=2)
        first, second, third = (post(api, body(), key=f"basket-{number}") for number in range(3))
        assert (first.status_code, second.status_code) == (201, 201)
        assert error_of(third) == {"status": 409, "code": "too_many_open_orders", "errors": []}
        assert Order.objects.count() == 2

        api.post(first.json()["url"] + "cancel/")

        assert post(api, body(), key="basket-2").status_code == 201


class TestRepeatedRequest:
    def test_gets_the_first_response_byte_for_byte(self, api):
        first = post(api, body())
        Order.objects.update(status="confirmed")
        Product.objects.update(price=1, active=False)
        get_user_model().objects.update(email="moved@example.com")

        second = post(api, body())

        assert (first.status_code, second.status_code) == (201, 201)
        assert second.content == first.content
        assert (first.headers.get("Idempotent-Replayed"), second.headers["Idempotent-Replayed"]) == (None, "true")
        assert second.headers["Location"] == first.headers["Location"]
        assert Order.objects.count() == 1

    def test_is_a_new_request_if_the_first_was_rejected(self, api):
        assert post(api, body(expected_total=1)).status_code == 409

        assert post(api, body()).status_code == 201

    def test_gets_the_order_that_a_feed_placed(self, api):
        draft = make_draft({"RED-CHAIR": 2}, email="", expected_total=9_000, idempotency_key="basket-1")
        (placed,) = placing.place_orders([draft], now=timezone.now())

        assert post(api, body()).json()["id"] == str(placed.order.pk)


class TestList:
    def test_shows_only_own_orders_from_the_newest(self, api):
        first, second = place_order(), place_order()
        place_order(customer_id=CustomerFactory(username="bob").pk)

        orders = api.get(ORDERS).json()["results"]

        assert [order["id"] for order in orders] == [str(second.pk), str(first.pk)]
        assert [api.get(order["url"]).json() for order in orders] == orders

    @pytest.mark.parametrize(
        ("query", "statuses"),
        [
            ("status=cancelled", ["cancelled"]),
            ("status=placed", ["placed"]),
            ("placed_after=2026-11-24T00:00:00Z", []),
            ("placed_after=2026-11-23T13:00:00%2B01:00", ["cancelled", "placed"]),
            ("placed_before=2026-11-23T12:00:00Z", []),
            ("placed_before=2026-11-24T00:00:00-23:59", ["cancelled", "placed"]),
        ],
    )
    def test_filters_by_status_and_time(self, api, query, statuses):
        place_order()
        services.cancel_order(str(place_order().pk), reason="by_customer", now=timezone.now())
        Order.objects.update(placed_at=datetime(2026, 11, 23, 12, tzinfo=UTC))

        assert [order["status"] for order in api.get(f"{ORDERS}?{query}").json()["results"]] == statuses

    @pytest.mark.parametrize("spell", [str, str.lower, lambda number: number.replace("-", ""), " {} ".format])
    def test_finds_an_order_by_its_number_however_it_is_written(self, api, spell):
        order, _ = place_order(), place_order()

        found = api.get(ORDERS, {"number": spell(order.number)}).json()["results"]

        assert [row["id"] for row in found] == [str(order.pk)]

    def test_finds_no_order_of_another_customer_by_its_number(self, api):
        order = place_order(customer_id=CustomerFactory(username="bob").pk)

        assert api.get(ORDERS, {"number": order.number}).json()["results"] == []

    @pytest.mark.parametrize(
        ("number", "detail"),
        [
            ("K7Q4-M2X1", "This order number is mistyped: no order can have it."),
            ("K7Q4", "This is not an order number such as K7Q4-M2X0."),
            ("U7Q4-M2X0", "This is not an order number such as K7Q4-M2X0."),
        ],
    )
    def test_rejects_what_is_no_number(self, api, number, detail):
        answer = api.get(ORDERS, {"number": number})

        [error] = answer.json()["errors"]
        assert (answer.status_code, error["code"], error["parameter"]) == (400, "invalid_parameter", "number")
        assert error["detail"] == detail

    def test_costs_as_many_statements_for_fifty_orders_as_for_one(self, api):
        place_order()
        with counting_statements() as for_one:
            api.get(ORDERS)
        for _ in range(49):
            place_order()

        with counting_statements() as for_fifty:
            api.get(ORDERS)

        assert len(for_fifty) == len(for_one)


class TestCancel:
    def test_cancels_an_order_that_is_not_final(self, api):
        order = place_order()

        response = api.post(f"{ORDERS}{order.pk}/cancel/")

        assert response.status_code == 200
        assert (response.json()["status"], response.json()["cancel_reason"]) == ("cancelled", "by_customer")
        assert [step["status"] for step in response.json()["history"]] == ["placed", "cancelled"]
        assert announced()["orders.order_cancelled"] == 1

    def test_rejects_a_final_order(self, api):
        order = place_order()
        Order.objects.update(status="confirmed")

        response = api.post(f"{ORDERS}{order.pk}/cancel/")

        assert error_of(response) == {"status": 409, "code": "invalid_state", "errors": []}
        assert response.json()["detail"] == "Nothing was cancelled: this order is already confirmed."

    def test_has_a_form_without_fields(self, api):
        order = place_order()

        page = api.get(f"{ORDERS}{order.pk}/cancel/", headers={"Accept": "text/html"}).content.decode()

        assert 'name="status"' not in page
        assert "cancel_reason" not in page


class TestProducts:
    @pytest.fixture(autouse=True)
    def _more_products(self):
        ProductFactory(sku="OAK-TABLE", price=24_900, sold_out=False)
        ProductFactory(sku="LAMP-1.5", name="Reading lamp", price=3_250, sold_out=False)
        ProductFactory(sku="OLD-STOOL", active=False)

    def test_are_public(self):
        visitor = APIClient()

        response = visitor.get(PRODUCTS)

        products = response.json()["results"]
        assert response.status_code == 200
        assert [product["sku"] for product in products] == ["LAMP-1.5", "OAK-TABLE", "RED-CHAIR"]
        assert products[0] == {
            "url": f"http://testserver{PRODUCTS}LAMP-1.5/",
            "sku": "LAMP-1.5",
            "name": "Reading lamp",
            "price": 3_250,
            "currency": "GBP",
            "sold_out": False,
            "available": None,
            "picture": "",
        }
        assert [visitor.get(product["url"]).json() for product in products] == products

    @pytest.mark.parametrize(
        ("query", "skus"),
        [
            ("search=lamp", ["LAMP-1.5"]),
            ("search=oak", ["OAK-TABLE"]),
            ("search=%25", []),
            ("sold_out=true", ["RED-CHAIR"]),
            ("sold_out=false", ["LAMP-1.5", "OAK-TABLE"]),
            ("sold_out=false&search=table", ["OAK-TABLE"]),
        ],
    )
    def test_can_be_searched_and_filtered(self, api, query, skus):
        products = api.get(f"{PRODUCTS}?{query}").json()["results"]

        assert [product["sku"] for product in products] == skus

    @pytest.mark.parametrize("sku", ["OLD-STOOL", "red-chair"])
    def test_are_hidden_when_inactive_or_misspelt(self, api, sku):
        assert api.get(f"{PRODUCTS}{sku}/").status_code == 404


class TestQuote:
    def test_returns_the_price_of_a_basket(self, api):
        Product.objects.update(sold_out=False)
        ProductFactory(sku="OAK-TABLE", price=24_900, sold_out=False, few_left=1)

        response = api.get("/api/v1/quote/?quantity[RED-CHAIR]=2&quantity[OAK-TABLE]=1&quantity[LAMP]=")

        assert response.status_code == 200
        assert response.json() == {
            "lines": [
                {"sku": "RED-CHAIR", "name": "Red chair", "quantity": 2, "unit_price": 4_500, "available": None},
                {"sku": "OAK-TABLE", "name": "Oak table", "quantity": 1, "unit_price": 24_900, "available": 1},
            ],
            "total": 33_900,
            "currency": "GBP",
            "in_stock": True,
        }

    @pytest.mark.parametrize(
        ("stock", "available"),
        [({"sold_out": True}, 0), ({"sold_out": False, "few_left": 1}, 1)],
        ids=["sold out", "one left"],
    )
    def test_says_what_is_out_of_stock_before_it_is_ordered(self, api, stock, available):
        Product.objects.update(**stock)

        quote = api.get("/api/v1/quote/?quantity[RED-CHAIR]=2").json()

        assert (quote["lines"][0]["available"], quote["in_stock"]) == (available, False)
        assert is_unchanged()


class TestForm:
    """
    The checkout form of the page of a quote.
    """

    FORM: ClassVar = {
        "quantity[RED-CHAIR]": "2",
        "expected_total": "9000",
        "payment_method": "tok_visa",
        "email": "",
        "phone": "",
        "note": "",
        "idempotency_key": "basket-1",
    }

    def submit(self, client: Client) -> Any:
        return client.post(ORDERS, urlencode(self.FORM), content_type="application/x-www-form-urlencoded")

    def test_submitted_twice_places_one_order_and_redirects_to_it(self, browser):
        responses = [self.submit(browser) for _ in range(2)]

        order = Order.objects.get()
        assert [response.status_code for response in responses] == [303, 303]
        assert {response.headers["Location"] for response in responses} == {f"http://testserver{ORDERS}{order.pk}/"}
        assert list(order.lines.values_list("sku", "quantity")) == [("RED-CHAIR", 2)]
        assert order.email == "ada@example.com"
