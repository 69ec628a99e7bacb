from html import unescape
from uuid import uuid4

import pytest
from django.test import Client
from rest_framework.test import APIClient

from payments.models import PaymentIntent
from tests.factories import CustomerFactory, make_stock, place_order
from tests.outbox import counting_statements
from tests.payments.scenes import collect, request_refund

pytestmark = pytest.mark.django_db

PAYMENTS = "/api/v1/payments/"


def pay(username: str = "ada", **changes: object) -> PaymentIntent:
    return collect(customer_id=str(CustomerFactory(username=username).pk), **changes)


def listed_ids(api: APIClient, **filters: object) -> list[str]:
    return [payment["id"] for payment in api.get(PAYMENTS, filters).json()["results"]]


class TestDetail:
    def test_shows_a_payment_and_its_refunds(self, api, drain):
        paid = pay(amount=10_000)
        settled = request_refund(paid.order_id, 6_000)
        drain()
        pending = request_refund(paid.order_id, 1_000)

        response = api.get(f"{PAYMENTS}{paid.pk}/")

        settled.refresh_from_db()
        settled_at = settled.settled_at.isoformat().replace("+00:00", "Z")
        common = {"currency": "GBP", "reason": "a scratch", "requested_at": "2030-06-01T12:00:00Z"}
        assert response.status_code == 200
        assert response.json() == {
            "url": f"http://testserver{PAYMENTS}{paid.pk}/",
            "id": str(paid.pk),
            "order_id": str(paid.order_id),
            "amount": 10_000,
            "currency": "GBP",
            "status": "succeeded",
            "failure_reason": "",
            "page": "",
            "created_at": "2030-06-01T12:00:00Z",
            "refunds": [
                {"id": str(settled.pk), "amount": 6_000, "status": "succeeded", "settled_at": settled_at} | common,
                {"id": str(pending.pk), "amount": 1_000, "status": "pending", "settled_at": None} | common,
            ],
        }

    @pytest.mark.parametrize(
        "name", ["{others}", "{anonymous}", "{unknown}", "1", "null", "%00", "..%2f", "9" * 21, "{others}x", "' OR 1=1"]
    )
    def test_is_not_found_under_another_id(self, api, name):
        anonymous = collect(customer_id="")
        ids = {"others": pay("bob").pk, "anonymous": anonymous.pk, "unknown": uuid4()}

        response = api.get(f"{PAYMENTS}{name.format(**ids)}/")

        unknown = api.get(f"{PAYMENTS}{uuid4()}/")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert response.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


class TestList:
    def test_shows_the_customers_own_payments_newest_first(self, api):
        first, second = pay(), pay()
        pay("bob")
        collect(customer_id="")

        assert listed_ids(api) == [str(second.pk), str(first.pk)]

    def test_shows_the_payment_of_an_order(self, api, drain):
        make_stock()
        order = place_order()
        drain()

        (payment,) = api.get(PAYMENTS).json()["results"]

        assert (payment["order_id"], payment["status"]) == (str(order.pk), "succeeded")

    def test_links_to_each_payment(self, api):
        paid = pay()

        (payment,) = api.get(PAYMENTS).json()["results"]

        assert api.get(payment["url"]).json() == payment
        assert payment["id"] == str(paid.pk)

    def test_filters_by_order_and_status(self, api):
        paid, declined = pay(), pay(payment_method="tok_declined")

        assert listed_ids(api, order_id=paid.order_id) == [str(paid.pk)]
        assert listed_ids(api, status="failed") == [str(declined.pk)]
        assert listed_ids(api, status="failed", order_id=paid.order_id) == []
        assert listed_ids(api, status="", order_id="") == [str(declined.pk), str(paid.pk)]

    @pytest.mark.parametrize(
        ("parameter", "value"),
        [("status", "paid"), ("status", "a\x00"), ("order_id", "1"), ("order_id", "\x00"), ("order_id", "9" * 5_000)],
    )
    def test_names_an_invalid_parameter(self, api, parameter, value):
        response = api.get(PAYMENTS, {parameter: value})

        (error,) = response.json()["errors"]
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
        assert (error["code"], error["parameter"]) == ("invalid_parameter", parameter)

    def test_takes_as_many_statements_for_fifty_payments_as_for_one(self, api):
        request_refund(pay().order_id, 100)
        with counting_statements() as for_one:
            assert len(listed_ids(api)) == 1
        for _ in range(49):
            request_refund(pay().order_id, 100)

        with counting_statements() as for_fifty:
            assert len(listed_ids(api)) == 50

        assert len(for_fifty) == len(for_one)

    def test_requires_authentication(self):
        response = APIClient().get(PAYMENTS)

        assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_is_read_only(self, api, method):
        response = getattr(api, method)(PAYMENTS)

        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")

    def test_omits_the_payment_method_the_email_and_the_reference(self, api):
        paid = pay()

        body = api.get(PAYMENTS).content.decode()

        assert paid.provider_reference
        for secret in (paid.payment_method, paid.email, paid.provider_reference):
            assert secret not in body


class TestPage:
    def text_of(self, browser: Client) -> str:
        response = browser.get(PAYMENTS)
        assert response.status_code == 200
        return " ".join(unescape(response.content.decode()).split())

    def test_shows_amounts_orders_and_refunds(self, browser, drain):
        paid = pay(amount=10_000)
        request_refund(paid.order_id, 6_000)
        drain()
        request_refund(paid.order_id, 1_000)

        page = self.text_of(browser)

        assert "<h1>Your payments</h1>" in page
        assert f'<a href="/api/v1/orders/{paid.order_id}/">Order</a>' in page
        assert "1 June 2030, 12:00" in page
        assert '<span class="state succeeded">Paid</span>' in page
        assert "100.00 GBP <small>60.00 GBP refunded</small> <small>10.00 GBP being refunded</small>" in page

    def test_shows_no_payments_of_other_customers(self, browser):
        pay("grace")

        assert "You have no payments yet." in self.text_of(browser)
