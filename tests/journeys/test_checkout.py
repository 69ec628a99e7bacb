import pytest
from django.core import mail

from inventory.models import StockItem
from tests.factories import make_stock, place_order


@pytest.mark.django_db
class TestCheckout:
    def test_an_order_is_reserved_paid_shipped_and_told(self, drain, ledger):
        make_stock(10)
        order = place_order({"RED-CHAIR": 2})

        drain()

        order.refresh_from_db()
        item = StockItem.objects.get(sku="RED-CHAIR")
        assert [step.status for step in order.history.order_by("id")] == ["placed", "awaiting_payment", "confirmed"]
        assert (item.on_hand, item.reserved) == (8, 0)
        assert [charge.amount for charge in ledger.captured.values()] == [9_000]
        assert [(sent.to, sent.subject) for sent in mail.outbox] == [
            (["ada@example.com"], f"Your order {order.pk} is confirmed")
        ]
