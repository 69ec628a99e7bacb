from html import unescape

import pytest
from django.test import Client
from rest_framework.test import APIClient

from payments.models import PaymentIntent
from tests.factories import CustomerFactory
from tests.outbox import counting_statements
from tests.payments.scenes import collect, request_refund

pytestmark = pytest.mark.django_db

PAYMENTS = "/api/v1/payments/"


def pay(username: str = "ada", **changes: object) -> PaymentIntent:
    return collect(customer_id=str(CustomerFactory(username=username).pk), **changes)


def listed_ids(api: APIClient, **filters: object) -> list[str]:
    return [payment["id"] for payment in api.get(PAYMENTS, filters).json()["results"]]


class TestPayments:
    def test_are_listed_with_their_refunds_and_linked_to(self, api, drain):
        paid = pay(amount=10_000)
        settled = request_refund(paid.order_id, 6_000)
        drain()
        pending = request_refund(paid.order_id, 1_000)

        (listed,) = api.get(PAYMENTS).json()["results"]

        settled.refresh_from_db()
        settled_at = settled.settled_at.isoformat().replace("+00:00", "Z")
        common = {"currency": "GBP", "reason": "a scratch", "requested_at": "2030-06-01T12:00:00Z"}
        assert listed == {
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
        assert api.get(listed["url"]).json() == listed

    def test_are_the_customers_own_newest_first(self, api):
        first, second = pay(), pay()
        pay("bob")
        collect(customer_id="")

        assert listed_ids(api) == [str(second.pk), str(first.pk)]

    def test_are_filtered_by_order_and_status(self, api):
        paid, declined = pay(), pay(payment_method="tok_declined")

        assert listed_ids(api, order_id=paid.order_id) == [str(paid.pk)]
        assert listed_ids(api, status="failed") == [str(declined.pk)]
        assert listed_ids(api, status="failed", order_id=paid.order_id) == []
        assert listed_ids(api, status="", order_id="") == [str(declined.pk), str(paid.pk)]

    def test_take_as_many_statements_for_fifty_as_for_one(self, api):
        request_refund(pay().order_id, 100)
        with counting_statements() as for_one:
            assert len(listed_ids(api)) == 1
        for _ in range(49):
            request_refund(pay().order_id, 100)

        with counting_statements() as for_fifty:
            assert len(listed_ids(api)) == 50

        assert len(for_fifty) == len(for_one)


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
        assert "£100.00 <small>£60.00 refunded</small> <small>£10.00 being refunded</small>" in page

    def test_shows_no_payments_of_other_customers(self, browser):
        pay("grace")

        assert "You have no payments yet." in self.text_of(browser)
