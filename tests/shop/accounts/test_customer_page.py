"""
The page of a customer in the admin: orders, money and suppressed addresses.
"""

import pytest
from django.contrib.auth.models import User

from notifications import suppressions
from notifications.models import Notification
from orders.models import Order
from payments import refunds
from tests.factories import CustomerFactory, make_stock, place_order
from tests.operators import operator_who_may, page
from tests.outbox import counting_statements
from tests.payments.scenes import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(drain) -> Order:
    make_stock()
    first, second = place_order(), place_order()
    place_order(customer_id=CustomerFactory(username="bob").pk)
    drain()
    refunds.refund(str(second.pk), amount=1_000, reason="A scratch.", now=NOON)
    drain()
    mail = Notification.objects.filter(order_id=first.pk).latest("pk")
    suppressions.add({mail: "bounced"}, now=NOON)
    return first


def html_of(client, customer: User) -> str:
    return " ".join(client.get(page(User, "change", customer.pk)).content.decode().split())


def test_shows_orders_what_was_spent_refunds_and_suppressed_addresses(admin_client, order):
    html = html_of(admin_client, order.customer)

    assert "<dt>Orders</dt><dd>2</dd> <dt>Spent</dt><dd>80.00 GBP</dd> <dt>Refunded</dt><dd>10.00 GBP</dd>" in html
    assert f'<a href="{page(Order, "change", order.pk)}">{order.number}</a></td><td>confirmed' in html
    assert "<td>A scratch.</td>" in html
    assert "ada@example.com</a></td><td>email</td><td>bounced</td>" in html


def test_shows_a_customer_without_orders(admin_client):
    assert "<dt>Orders</dt><dd>none</dd>" in html_of(admin_client, CustomerFactory(username="eve"))


def test_lacks_what_the_operator_may_not_see(order):
    html = html_of(operator_who_may("auth.view_user"), order.customer)

    assert order.number not in html
    assert "bounced" not in html


def test_adds_a_user(admin_client):
    assert admin_client.get(page(User, "add")).status_code == 200


@pytest.mark.parametrize("term", ["ada", "ADA@ex", "love", " Lovelace "])
def test_is_found_by_the_beginning_of_a_name_or_an_address(admin_client, term):
    ada = CustomerFactory(username="ada", email="ada@example.com", last_name="Lovelace")
    CustomerFactory(username="bob", email="bob@example.com", last_name="Beloved")

    found = admin_client.get(page(User), {"q": term}).context["cl"].result_list

    assert list(found) == [ada]


def test_is_not_deleted_with_orders_and_says_so_without_reading_them(admin_client, order):
    with counting_statements() as statements:
        html = admin_client.get(page(User, "delete", order.customer.pk)).content.decode()
    of_orders = [each["sql"] for each in statements if 'FROM "orders_order"' in each["sql"]]
    admin_client.post(page(User, "delete", order.customer.pk), {"post": "yes"})

    assert "orders" in html
    assert order.number not in html
    assert of_orders
    assert not [sql for sql in of_orders if "LIMIT 1" not in sql]
    assert User.objects.filter(pk=order.customer.pk).exists()


def test_is_deleted_without_orders(admin_client):
    eve = CustomerFactory(username="eve")

    admin_client.post(page(User, "delete", eve.pk), {"post": "yes"})

    assert not User.objects.filter(pk=eve.pk).exists()
