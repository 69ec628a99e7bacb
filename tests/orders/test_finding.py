import pytest

from orders.finding import find_orders
from orders.models import Order
from payments.models import PaymentIntent
from tests.factories import CustomerFactory, make_stock, place_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def order() -> Order:
    make_stock()
    bob = CustomerFactory(username="bob").pk
    place_order(customer_id=bob, email="bob@example.com", idempotency_key="basket-2", phone="+441632960123")
    return place_order(idempotency_key="basket-1", email="Ada.Lovelace@Example.com", phone="+441134960000")


@pytest.mark.parametrize(
    "term",
    [
        *("{0.number}", "{0.pk}", "{0.pk.hex}", "basket-1", " basket-1 ", "ada"),
        *("ada.lovelace@example.com", "ADA.LOVELACE@EXAMPLE.COM", "ada.l", "Ada.Lovelace@"),
        *("+441134960000", "+44 113 496-0000", "+44 (113) 4960000"),
    ],
)
def test_finds_an_order_by_what_a_person_has_of_it(order, term):
    assert find_orders(term.format(order)) == [order.pk]


@pytest.mark.parametrize("length", [13, 18, 23, 28, 35])
def test_finds_an_order_by_the_beginning_of_its_id(order, length):
    assert order.pk in find_orders(str(order.pk)[:length])
    assert order.pk in find_orders(order.pk.hex[:length].upper())


@pytest.mark.parametrize(
    "term",
    [
        *("", " ", "\0", "a\0", "basket", "lovelace", "' OR 1=1", "%", "_", "+", "+44113496000", "K7Q4-M2X0", "0" * 8),
        *("x" * 5_000, "\ud7ff", "\U0010ffff", "00000000-0000-7000-8000-000000000000"),
    ],
)
def test_finds_nothing_by_other_texts(order, term):
    assert find_orders(term) == []


def test_finds_the_newest_orders_with_a_sku(order):
    make_stock(sku="OAK-TABLE")
    tables = [place_order({"OAK-TABLE": 1}, idempotency_key=f"table-{number}") for number in range(3)]

    assert find_orders("OAK-TABLE", limit=2) == [tables[2].pk, tables[1].pk]


def test_finds_an_order_by_the_ids_of_payments_and_messages(order, drain):
    drain()
    intent = PaymentIntent.objects.get(order_id=order.pk)
    capture = intent.captures.get()

    assert find_orders(str(intent.pk)) == [order.pk]
    assert find_orders(capture.reference) == [order.pk]


def test_finds_at_most_as_many_as_asked_for(order):
    for number in range(5):
        place_order(idempotency_key=f"more-{number}")

    assert len(find_orders("ada@", limit=3)) == 3
