import pytest
from django.test import Client

from inventory import services
from inventory.models import LATEST_MOVEMENTS, StockItem
from tests.factories import make_stock, place_order
from tests.inventory.stock import NOON
from tests.operators import operator_who_may
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db

STOCK = "/api/v1/stock/"


@pytest.fixture
def operator() -> Client:
    """
    An operator with the permission to view stock.
    """
    return operator_who_may("inventory.view_stockitem")


def create_items(*skus: str, on_hand: int = 10, reserved: int = 0) -> None:
    StockItem.objects.bulk_create([StockItem(sku=sku, on_hand=on_hand, reserved=reserved) for sku in skus])


def listed(client: Client, **filters: object) -> list[str]:
    return [item["sku"] for item in client.get(STOCK, filters).json()["results"]]


class TestDetail:
    def test_shows_an_item_and_its_movements_from_the_newest(self, operator, drain):
        make_stock(10)
        order = place_order({"RED-CHAIR": 3})
        drain()
        services.withdraw({"RED-CHAIR": 2}, now=NOON)
        place_order({"RED-CHAIR": 1}, payment_method="tok_pending")
        drain()

        response = operator.get(f"{STOCK}RED-CHAIR/")

        item = response.json()
        withdrawn, shipped, opening = item.pop("latest_movements")
        assert response.status_code == 200
        assert item == {
            "url": f"http://testserver{STOCK}RED-CHAIR/",
            "sku": "RED-CHAIR",
            "on_hand": 5,
            "reserved": 1,
            "available": 4,
        }
        assert withdrawn == {"kind": "withdrawn", "quantity": -2, "order_id": None, "at": "2030-06-01T12:00:00Z"}
        assert shipped == {"kind": "shipped", "quantity": -3, "order_id": str(order.pk), "at": shipped["at"]}
        assert opening == {"kind": "opening", "quantity": 10, "order_id": None, "at": opening["at"]}

    def test_limits_the_number_of_movements(self, operator):
        for quantity in range(1, LATEST_MOVEMENTS + 3):
            services.receive({"RED-CHAIR": quantity}, now=NOON)

        movements = operator.get(f"{STOCK}RED-CHAIR/").json()["latest_movements"]

        assert [movement["quantity"] for movement in movements] == list(range(LATEST_MOVEMENTS + 2, 2, -1))

    @pytest.mark.parametrize("sku", ["a.b", "85123A", "x_y-z.1", "A" * 64])
    def test_accepts_every_valid_sku_in_the_url(self, operator, sku):
        create_items(sku)

        assert operator.get(f"{STOCK}{sku}/").json()["sku"] == sku

    @pytest.mark.parametrize("sku", ["red-chair", "A" * 65])
    def test_answers_404_for_another_sku(self, operator, sku):
        create_items("RED-CHAIR")

        assert operator.get(f"{STOCK}{sku}/").status_code == 404

    def test_does_not_disclose_without_permission_whether_a_sku_exists(self):
        response = operator_who_may().get(f"{STOCK}NO-CHAIR/")

        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")


class TestList:
    def test_shows_the_items_by_sku(self, operator):
        create_items("OAK-TABLE", reserved=4)
        create_items("MUG", on_hand=0)

        first, second = operator.get(STOCK).json()["results"]

        mug = {"sku": "MUG", "on_hand": 0, "reserved": 0, "available": 0}
        table = {"sku": "OAK-TABLE", "on_hand": 10, "reserved": 4, "available": 6}
        assert first == {"url": f"http://testserver{STOCK}MUG/"} | mug
        assert second == {"url": f"http://testserver{STOCK}OAK-TABLE/"} | table

    def test_filters_by_prefix_ignoring_case(self, operator):
        create_items("RED-CHAIR", "RED-TABLE", "DARK-RED-MUG", "R_D")

        assert listed(operator, sku_prefix="red") == ["RED-CHAIR", "RED-TABLE"]
        assert listed(operator, sku_prefix="R_D") == ["R_D"]
        assert listed(operator, sku_prefix="%") == []

    def test_filters_by_availability(self, operator):
        create_items("NONE", on_hand=0)
        create_items("RESERVED", on_hand=3, reserved=3)
        create_items("SOME", on_hand=3, reserved=2)

        assert listed(operator, sold_out="true") == ["NONE", "RESERVED"]
        assert listed(operator, sold_out="false") == ["SOME"]
        assert listed(operator, sold_out="") == ["NONE", "RESERVED", "SOME"]

    def test_costs_as_many_statements_for_fifty_items_as_for_one(self, operator):
        create_items("RED-CHAIR")
        with counting_statements() as for_one:
            assert len(listed(operator)) == 1
        create_items(*[f"CHAIR-{number}" for number in range(49)])

        with counting_statements() as for_fifty:
            assert len(listed(operator)) == 50

        assert len(for_fifty) == len(for_one)

    def test_opens_in_a_browser(self, operator):
        create_items("RED-CHAIR")

        page = operator.get(STOCK, headers={"Accept": "text/html"})

        assert page.status_code == 200
        assert "RED-CHAIR" in page.content.decode()
