from html import unescape

import pytest
from django.test import Client

from tests.factories import make_customer
from tests.payments.test_api import PAYMENTS, give_back, pay

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    client = Client(headers={"Accept": "text/html"})
    client.force_login(make_customer())
    return client


def words(browser: Client) -> str:
    answer = browser.get(PAYMENTS)
    assert answer.status_code == 200
    return " ".join(unescape(answer.content.decode()).split())


class TestPayments:
    def test_say_what_was_paid_for_which_order_and_what_went_back(self, browser, drain):
        paid = pay(amount=10_000)
        give_back(paid, 6_000)
        drain()
        give_back(paid, 1_000)

        page = words(browser)

        assert "<h1>Your payments</h1>" in page
        assert f'<a href="/api/v1/orders/{paid.order_id}/">Its order</a>' in page
        assert "1 June 2030, 12:00" in page
        assert '<span class="state succeeded">Paid</span>' in page
        assert "100.00 GBP <small>60.00 GBP went back</small> <small>10.00 GBP is on its way back</small>" in page

    def test_are_none_of_another_customers(self, browser):
        pay("grace")

        assert "You have not paid anything yet." in words(browser)
