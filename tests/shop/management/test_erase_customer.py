import pytest
from django.core.management import CommandError

from orders.models import Order
from tests.commands import run, run_json
from tests.factories import CustomerFactory, make_stock, place_order
from tests.snapshot import snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(drain):
    make_stock()
    order = place_order(phone="+441134960000")
    drain()
    return order.customer


@pytest.mark.parametrize("name", ["ada", "id"])
def test_prints_what_it_would_erase_and_changes_nothing(ada, name):
    before = snapshot()

    output = run("erase_customer", str(ada.pk) if name == "id" else name)

    assert output.startswith(f"To erase of customer {ada.pk}:\n        1 user\n")
    assert output.endswith("Nothing was changed. With --yes it is erased, which cannot be undone.\n")
    assert snapshot() == before


def test_erases_with_yes(ada):
    assert run("erase_customer", "ada", "--yes").startswith(f"Erased of customer {ada.pk}:\n")

    assert Order.objects.values_list("email", "phone").get() == ("", "")
    assert run("erase_customer", str(ada.pk), "--yes") == f"There is nothing to erase of customer {ada.pk}.\n"


def test_counts_by_table_as_json(ada):
    report = run_json("erase_customer", "ada")

    assert (report["customer"], report["erased"]) == (ada.pk, False)
    assert {name: report["rows"][name] for name in ("user", "orders", "stored responses", "payments")} == {
        "user": 1,
        "orders": 1,
        "stored responses": 1,
        "payments": 1,
    }


@pytest.mark.parametrize(
    ("customer", "complaint"),
    [
        ("eve", "There is no customer 'eve'. Give the username or the id."),
        ("٣", "There is no customer '٣'. Give the username or the id."),
        ("olga", "olga is an operator. Only the data of customers can be erased."),
    ],
)
def test_rejects_who_is_no_customer(ada, customer, complaint):
    CustomerFactory(username="olga", is_staff=True)

    with pytest.raises(CommandError) as rejection:
        run("erase_customer", customer, "--yes")

    assert str(rejection.value) == complaint


def test_rejects_what_is_the_id_of_one_and_the_name_of_another(ada):
    CustomerFactory(username=str(ada.pk))

    with pytest.raises(CommandError, match="the username of one customer and the id of another"):
        run("erase_customer", str(ada.pk), "--yes")


def test_names_the_open_orders(ada):
    order = place_order()

    with pytest.raises(CommandError, match=f"1 order is open: {order.number}"):
        run("erase_customer", "ada")
