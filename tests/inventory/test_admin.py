import pytest
from django.contrib.admin.models import LogEntry

from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from tests.factories import make_stock, place_order
from tests.operators import act, open_every_page_of, operator_who_may, page

pytestmark = pytest.mark.django_db


def stock() -> dict[str, int]:
    return dict(StockItem.objects.values_list("sku", "on_hand"))


def test_every_page_opens(admin_client, drain):
    make_stock()
    place_order()
    drain()

    assert open_every_page_of("inventory", admin_client) == {
        "StockItem": 200,
        "Reservation": 200,
        "ReservationLine": 200,
        "StockMovement": 200,
    }


@pytest.mark.parametrize("model", [StockItem, Reservation, ReservationLine, StockMovement])
def test_nobody_edits_by_hand(admin_client, drain, model):
    make_stock()
    place_order()
    drain()
    row = model.objects.latest("pk")

    answers = [
        admin_client.post(page(model, "add")),
        admin_client.post(page(model, "change", row.pk), {"on_hand": 99}),
        admin_client.post(page(model, "delete", row.pk), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


class TestReceiveAndWithdraw:
    def test_move_the_quantity_of_each_chosen_item_in_the_operators_name(self, admin_client):
        chair, table = make_stock(10), make_stock(10, sku="OAK-TABLE")
        make_stock(10, sku="MUG")

        told = act(admin_client, "receive", chair, table, quantity=5)
        act(admin_client, "withdraw", chair, quantity=1)

        assert "Received 5 of each of 2 stock items." in told
        assert stock() == {"RED-CHAIR": 14, "OAK-TABLE": 15, "MUG": 10}
        assert set(LogEntry.objects.values_list("user__username", "object_id", "change_message")) == {
            ("admin", "RED-CHAIR", "Received 5."),
            ("admin", "OAK-TABLE", "Received 5."),
            ("admin", "RED-CHAIR", "Withdrew 1."),
        }

    @pytest.mark.parametrize("quantity", ["", "0", "-5", "1.5", "many", str(10**30)])
    def test_refuse_a_quantity_of(self, admin_client, quantity):
        item = make_stock(10)

        told = act(admin_client, "receive", item, quantity=quantity)

        assert "Quantity: " in told
        assert stock() == {"RED-CHAIR": 10}
        assert not LogEntry.objects.exists()

    def test_withdraw_from_none_when_one_has_too_little(self, admin_client):
        chair, table = make_stock(10), make_stock(2, sku="OAK-TABLE")

        told = act(admin_client, "withdraw", chair, table, quantity=3)

        assert "Not enough stock of OAK-TABLE to withdraw." in told
        assert stock() == {"RED-CHAIR": 10, "OAK-TABLE": 2}
        assert not LogEntry.objects.exists()

    def test_are_for_those_who_may_change_stock(self):
        item = make_stock(10)

        act(operator_who_may("inventory.view_stockitem"), "receive", item, quantity=5)

        assert stock() == {"RED-CHAIR": 10}
