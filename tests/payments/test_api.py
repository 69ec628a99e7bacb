from datetime import UTC, datetime
from html import unescape
from uuid import uuid4

import pytest
from django.test import Client
from rest_framework.test import APIClient

from payments import refunds
from payments.charges import services
from payments.models import PaymentIntent, Refund
from tests.factories import make_customer, make_stock, place_order
from tests.outbox import counting_statements
from tests.payments.scenes import payment_requested

pytestmark = pytest.mark.django_db

PAYMENTS = "/api/v1/payments/"
NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def pay(username: str = "ada", **changes: object) -> PaymentIntent:
    asked = payment_requested(customer_id=str(make_customer(username=username).pk), **changes)
    services.collect([asked], now=NOON)
    return PaymentIntent.objects.get(order_id=asked.order_id)


def give_back(intent: PaymentIntent, amount: int) -> Refund:
    (refund,) = refunds.refund(str(intent.order_id), amount=amount, reason="a scratch", now=NOON)
    return refund


def listed(api: APIClient, **filters: object) -> list[str]:
    return [payment["id"] for payment in api.get(PAYMENTS, filters).json()["results"]]


class TestDetail:
    def test_shows_a_payment_and_what_of_it_went_back(self, api, drain):
        paid = pay(amount=10_000)
        sent = give_back(paid, 6_000)
        drain()
        owed = give_back(paid, 1_000)

        answer = api.get(f"{PAYMENTS}{paid.pk}/")

        sent.refresh_from_db()
        assert answer.status_code == 200
        assert answer.json() == {
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
                {
                    "id": str(sent.pk),
                    "amount": 6_000,
                    "currency": "GBP",
                    "status": "succeeded",
                    "reason": "a scratch",
                    "requested_at": "2030-06-01T12:00:00Z",
                    "settled_at": sent.settled_at.isoformat().replace("+00:00", "Z"),
                },
                {
                    "id": str(owed.pk),
                    "amount": 1_000,
                    "currency": "GBP",
                    "status": "pending",
                    "reason": "a scratch",
                    "requested_at": "2030-06-01T12:00:00Z",
                    "settled_at": None,
                },
            ],
        }

    @pytest.mark.parametrize(
        "name", ["{others}", "{nobodys}", "{unknown}", "1", "null", "%00", "..%2f", "9" * 21, "{others}x", "' OR 1=1"]
    )
    def test_finds_nothing_under_another_name(self, api, name):
        nobodys = payment_requested(customer_id="")
        services.collect([nobodys], now=NOON)
        ids = {"others": pay("bob").pk, "nobodys": PaymentIntent.objects.get(customer_id="").pk, "unknown": uuid4()}

        answer = api.get(f"{PAYMENTS}{name.format(**ids)}/")

        unknown = api.get(f"{PAYMENTS}{uuid4()}/")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


class TestList:
    def test_shows_own_payments_from_the_newest(self, api):
        first, second = pay(), pay()
        pay("bob")
        services.collect([payment_requested(customer_id="")], now=NOON)

        assert listed(api) == [str(second.pk), str(first.pk)]

    def test_shows_the_payment_of_an_order(self, api, drain):
        make_stock()
        order = place_order()
        drain()

        (payment,) = api.get(PAYMENTS).json()["results"]

        assert (payment["order_id"], payment["status"]) == (str(order.pk), "succeeded")

    def test_leads_to_each_payment(self, api):
        paid = pay()

        (payment,) = api.get(PAYMENTS).json()["results"]

        assert api.get(payment["url"]).json() == payment
        assert payment["id"] == str(paid.pk)

    def test_narrows_by_order_and_status(self, api):
        paid, declined = pay(), pay(payment_method="tok_declined")

        assert listed(api, order_id=paid.order_id) == [str(paid.pk)]
        assert listed(api, status="failed") == [str(declined.pk)]
        assert listed(api, status="failed", order_id=paid.order_id) == []
        assert listed(api, status="", order_id="") == [str(declined.pk), str(paid.pk)]

    @pytest.mark.parametrize(
        ("parameter", "value"),
        [("status", "paid"), ("status", "a\x00"), ("order_id", "1"), ("order_id", "\x00"), ("order_id", "9" * 5_000)],
    )
    def test_names_a_parameter_that_says_nothing(self, api, parameter, value):
        answer = api.get(PAYMENTS, {parameter: value})

        (fault,) = answer.json()["errors"]
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
        assert (fault["code"], fault["parameter"]) == ("invalid_parameter", parameter)

    def test_costs_as_many_statements_for_fifty_payments_as_for_one(self, api):
        give_back(pay(), 100)
        with counting_statements() as for_one:
            assert len(listed(api)) == 1
        for _ in range(49):
            give_back(pay(), 100)

        with counting_statements() as for_fifty:
            assert len(listed(api)) == 50

        assert len(for_fifty) == len(for_one)

    def test_is_for_those_who_are_logged_in(self):
        answer = APIClient().get(PAYMENTS)

        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_is_not_to_be_written(self, api, method):
        answer = getattr(api, method)(PAYMENTS)

        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")

    def test_hides_how_the_money_moves(self, api):
        paid = pay()

        shown = api.get(PAYMENTS).content.decode()

        assert paid.provider_reference
        for secret in (paid.payment_method, paid.email, paid.provider_reference):
            assert secret not in shown


class TestPage:
    @pytest.fixture
    def browser(self) -> Client:
        client = Client(headers={"Accept": "text/html"})
        client.force_login(make_customer())
        return client

    def text_of(self, browser: Client) -> str:
        response = browser.get(PAYMENTS)
        assert response.status_code == 200
        return " ".join(unescape(response.content.decode()).split())

    def test_shows_amounts_orders_and_refunds(self, browser, drain):
        paid = pay(amount=10_000)
        give_back(paid, 6_000)
        drain()
        give_back(paid, 1_000)

        page = self.text_of(browser)

        assert "<h1>Your payments</h1>" in page
        assert f'<a href="/api/v1/orders/{paid.order_id}/">Its order</a>' in page
        assert "1 June 2030, 12:00" in page
        assert '<span class="state succeeded">Paid</span>' in page
        assert "100.00 GBP <small>60.00 GBP went back</small> <small>10.00 GBP is on its way back</small>" in page

    def test_shows_no_payments_of_other_customers(self, browser):
        pay("grace")

        assert "You have not paid anything yet." in self.text_of(browser)
