"""Deadlocks are too rare to provoke, so these tests check the order in which rows are locked."""

import pytest
from django.utils import timezone

from inventory.models import StockItem
from orders.placing import place_orders
from tests.factories import make_draft, make_stock
from tests.outbox import counting_statements

pytestmark = pytest.mark.django_db


def test_stock_is_locked_by_sku_whatever_the_order_of_the_lines():
    with counting_statements() as statements:
        StockItem.objects.locked(["RED-CHAIR", "OAK-TABLE"])

    assert 'ORDER BY "inventory_stockitem"."sku" ASC' in statements[0]["sql"]


def test_idempotency_keys_are_inserted_in_one_order_whatever_the_order_of_the_drafts():
    make_stock()
    drafts = [make_draft(idempotency_key=key) for key in ("basket-c", "basket-a", "basket-b")]

    with counting_statements() as statements:
        place_orders(drafts, now=timezone.now())

    (insert,) = [each["sql"] for each in statements if 'INTO "orders_order" ' in each["sql"]]
    assert insert.index("basket-a") < insert.index("basket-b") < insert.index("basket-c")
