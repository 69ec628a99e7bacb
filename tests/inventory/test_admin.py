import pytest
from django.contrib.admin.models import LogEntry

from inventory.models import StockItem
from tests.factories import make_stock, place_order
from tests.operators import act, open_every_page_of, operator_who_may

pytestmark = pytest.mark.django_db


def stock() -> dict[str, int]:
    return dict(StockItem.objects.values_list("sku", "on_hand"))


def test_opens_every_page(admin_client, drain):
    make_stock()
    place_order()
    drain()

    statuses = open_every_page_of("inventory", admin_client)

    assert statuses == dict.fromkeys(["StockItem", "Reservation", "ReservationLine", "StockMovement"], 200)


class TestReceiveAndWithdraw:
    def test_change_each_selected_item_and_log_the_operator(self, admin_client):
        chair, table = make_stock(10), make_stock(10, sku="OAK-TABLE")
        make_stock(10, sku="MUG")

        page = act(admin_client, "receive", chair, table, quantity=5)
        act(admin_client, "withdraw", chair, quantity=1)

        assert "Received 5 of each of 2 stock items." in page
        assert stock() == {"RED-CHAIR": 14, "OAK-TABLE": 15, "MUG": 10}
        assert set(LogEntry.objects.values_list("user__username", "object_id", "change_message")) == {
            ("admin", "RED-CHAIR", "Received 5."),
            ("admin", "OAK-TABLE", "Received 5."),
            ("admin", "RED-CHAIR", "Withdrew 1."),
        }

    @pytest.mark.parametrize("quantity", ["", "0", "-5", "1.5", "many", str(10**30)])
    def test_reject_an_invalid_quantity(self, admin_client, quantity):
        item = make_stock(10)

        page = act(admin_client, "receive", item, quantity=quantity)

        assert "Quantity: " in page
        assert stock() == {"RED-CHAIR": 10}
        assert not LogEntry.objects.exists()

    def test_withdraw_nothing_if_one_item_has_too_little(self, admin_client):
        chair, table = make_stock(10), make_stock(2, sku="OAK-TABLE")

        page = act(admin_client, "withdraw", chair, table, quantity=3)

        assert "Not enough stock of OAK-TABLE to withdraw." in page
        assert stock() == {"RED-CHAIR": 10, "OAK-TABLE": 2}
        assert not LogEntry.objects.exists()

    def test_require_the_permission_to_change_stock(self):
        item = make_stock(10)

        act(operator_who_may("inventory.view_stockitem"), "receive", item, quantity=5)

        assert stock() == {"RED-CHAIR": 10}
