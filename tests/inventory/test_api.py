from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework.test import APIClient

from inventory import services
from inventory.models import LATEST_MOVEMENTS, StockItem
from tests.factories import api_of, make_customer, make_stock, place_order
from tests.operators import operator_who_may
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

STOCK = "/api/v1/stock/"
NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def keeper() -> Client:
    """
    One of the staff who may view stock.
    """
    return operator_who_may("inventory.view_stockitem")


def keep(*skus: str, on_hand: int = 10, reserved: int = 0) -> None:
    StockItem.objects.bulk_create([StockItem(sku=sku, on_hand=on_hand, reserved=reserved) for sku in skus])


def listed(keeper: Client, **filters: object) -> list[str]:
    return [item["sku"] for item in keeper.get(STOCK, filters).json()["results"]]


class TestDetail:
    def test_shows_an_item_and_what_moved_it(self, keeper, drain):
        make_stock(10)
        order = place_order({"RED-CHAIR": 3})
        drain()
        services.withdraw({"RED-CHAIR": 2}, now=NOON)
        place_order({"RED-CHAIR": 1}, payment_method="tok_pending")
        drain()

        answer = keeper.get(f"{STOCK}RED-CHAIR/")

        shown = answer.json()
        moved = [(entry["kind"], entry["quantity"], entry["order_id"]) for entry in shown.pop("latest_movements")]
        assert answer.status_code == 200
        assert shown == {
            "url": f"http://testserver{STOCK}RED-CHAIR/",
            "sku": "RED-CHAIR",
            "on_hand": 5,
            "reserved": 1,
            "available": 4,
        }
        assert moved == [("withdrawn", -2, None), ("shipped", -3, str(order.pk)), ("opening", 10, None)]

    def test_tells_when_something_moved(self, keeper):
        services.receive({"RED-CHAIR": 2}, now=NOON)

        (moved,) = keeper.get(f"{STOCK}RED-CHAIR/").json()["latest_movements"]

        assert moved == {"kind": "received", "quantity": 2, "order_id": None, "at": "2030-06-01T12:00:00Z"}

    def test_shows_only_the_latest_movements_of_a_long_ledger(self, keeper):
        for quantity in range(1, LATEST_MOVEMENTS + 3):
            services.receive({"RED-CHAIR": quantity}, now=NOON)

        moved = keeper.get(f"{STOCK}RED-CHAIR/").json()["latest_movements"]

        assert [entry["quantity"] for entry in moved] == list(range(LATEST_MOVEMENTS + 2, 2, -1))

    @pytest.mark.parametrize("sku", ["a.b", "85123A", "x_y-z.1", "A" * 64])
    def test_finds_an_item_under_any_sku(self, keeper, sku):
        keep(sku)

        assert keeper.get(f"{STOCK}{sku}/").json()["sku"] == sku

    @pytest.mark.parametrize(
        "name", ["NO-CHAIR", "red-chair", "%00", "RED-CHAIR%00", "..%2f", "9" * 21, "A" * 65, "é", "%ff", "' OR 1=1"]
    )
    def test_finds_nothing_under_another_name(self, keeper, name):
        keep("RED-CHAIR")

        answer = keeper.get(f"{STOCK}{name}/")

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestList:
    def test_shows_the_stock_by_sku(self, keeper):
        keep("OAK-TABLE", reserved=4)
        keep("MUG", on_hand=0)

        first, second = keeper.get(STOCK).json()["results"]

        assert first == {
            "url": f"http://testserver{STOCK}MUG/",
            "sku": "MUG",
            "on_hand": 0,
            "reserved": 0,
            "available": 0,
        }
        assert second == {
            "url": f"http://testserver{STOCK}OAK-TABLE/",
            "sku": "OAK-TABLE",
            "on_hand": 10,
            "reserved": 4,
            "available": 6,
        }

    def test_narrows_by_the_beginning_of_the_sku_in_any_case(self, keeper):
        keep("RED-CHAIR", "RED-TABLE", "DARK-RED-MUG", "R_D")

        assert listed(keeper, sku_prefix="red") == ["RED-CHAIR", "RED-TABLE"]
        assert listed(keeper, sku_prefix="R_D") == ["R_D"]
        assert listed(keeper, sku_prefix="%") == []

    def test_narrows_by_whether_anything_is_left(self, keeper):
        keep("NONE", on_hand=0)
        keep("PROMISED", on_hand=3, reserved=3)
        keep("SOME", on_hand=3, reserved=2)

        assert listed(keeper, sold_out="true") == ["NONE", "PROMISED"]
        assert listed(keeper, sold_out="false") == ["SOME"]
        assert listed(keeper, sold_out="") == ["NONE", "PROMISED", "SOME"]

    @pytest.mark.parametrize(("parameter", "value"), [("sold_out", "maybe"), ("sold_out", "1"), ("sku_prefix", "\x00")])
    def test_names_a_parameter_that_says_nothing(self, keeper, parameter, value):
        answer = keeper.get(STOCK, {parameter: value})

        (fault,) = answer.json()["errors"]
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
        assert fault["parameter"] == parameter

    def test_costs_as_many_statements_for_fifty_items_as_for_one(self, keeper):
        keep("RED-CHAIR")
        with counting_statements() as for_one:
            assert len(listed(keeper)) == 1
        keep(*[f"CHAIR-{number}" for number in range(49)])

        with counting_statements() as for_fifty:
            assert len(listed(keeper)) == 50

        assert len(for_fifty) == len(for_one)

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_is_not_to_be_written(self, method):
        make_customer(username="root", is_staff=True, is_superuser=True)

        answer = getattr(api_of("root"), method)(STOCK)

        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")

    def test_opens_in_a_browser(self, keeper):
        keep("RED-CHAIR")

        page = keeper.get(STOCK, headers={"Accept": "text/html"})

        assert page.status_code == 200
        assert "RED-CHAIR" in page.content.decode()


class TestWhoAsks:
    @pytest.mark.parametrize("door", [STOCK, f"{STOCK}RED-CHAIR/", f"{STOCK}NO-CHAIR/"])
    def test_must_be_logged_in(self, door):
        keep("RED-CHAIR")

        answer = APIClient().get(door)

        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")

    @pytest.mark.parametrize("door", [STOCK, f"{STOCK}RED-CHAIR/", f"{STOCK}NO-CHAIR/"])
    @pytest.mark.parametrize("who", ["customer", "staff without the permission", "customer with the permission"])
    def test_must_be_staff_who_may_view_stock(self, who, door):
        keep("RED-CHAIR")
        browser = operator_who_may(*["inventory.view_stockitem"] if who.endswith("with the permission") else [])
        if who.startswith("customer"):
            get_user_model().objects.update(is_staff=False)

        answer = browser.get(door)

        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
