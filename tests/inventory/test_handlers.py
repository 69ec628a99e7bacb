from uuid import uuid4

import pytest

from inventory import handlers
from inventory.models import StockItem
from messaging import contracts
from tests.factories import make_stock

pytestmark = pytest.mark.django_db


def stock() -> tuple[int, int]:
    return StockItem.objects.values_list("on_hand", "reserved").get()


def place(quantity: int) -> str:
    order_id = str(uuid4())
    line = contracts.Line(sku="RED-CHAIR", quantity=quantity)
    handlers.reserve_stock([contracts.OrderPlaced(order_id=order_id, lines=(line,))])
    return order_id


def test_opens_a_stock_item_for_a_new_product():
    handlers.open_stock_item([contracts.ProductAdded(sku="RED-CHAIR", name="Red chair")])

    assert stock() == (0, 0)


def test_reserves_what_is_ordered_and_commits_it_when_the_order_is_confirmed():
    make_stock(10)

    order_id = place(3)
    assert stock() == (10, 3)

    handlers.commit_reservation(
        [contracts.OrderConfirmed(order_id=order_id, total=13_500, currency="GBP", email="", lines=())]
    )
    assert stock() == (7, 0)


def test_releases_what_was_reserved_when_the_order_is_cancelled():
    make_stock(10)
    order_id = place(3)

    handlers.release_stock(
        [
            contracts.OrderCancelled(
                order_id=order_id, reason="expired", payment_requested=True, total=13_500, currency="GBP", email=""
            )
        ]
    )

    assert stock() == (10, 0)
