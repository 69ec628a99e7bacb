"""
What the operator's desk shows of stock: what is about to run out.
"""

from collections.abc import Iterator
from datetime import datetime

from django.contrib.admin.utils import quote
from django.urls import reverse

from shop.http.desk import LIMIT, Bar, Bars, Concern, Item, list_url, reports

from .models import RUNNING_OUT, StockItem

SHOWN = 8


@reports("inventory.view_stockitem")
def show_stock(now: datetime) -> Iterator[Item]:
    ending = list(StockItem.objects.running_out().order_by("left", "sku").values_list("sku", "left")[: LIMIT + 1])
    url = list_url("inventory_stockitem", available="ending")
    if ending:
        yield Concern(
            title="Products about to run out",
            count=len(ending),
            url=url,
            permission="inventory.view_stockitem",
            advice=f"At most {RUNNING_OUT} of each can still be ordered: buy more, or take the product off sale.",
            is_urgent=False,
        )
    yield Bars(
        title="Stock about to run out",
        bars=[Bar(name=sku, value=left, url=_item(sku), tone="waiting") for sku, left in ending[:SHOWN]],
        url=url,
        empty=f"No product has fewer than {RUNNING_OUT + 1} left, without those that are sold out.",
    )


def _item(sku: str) -> str:
    return reverse("admin:inventory_stockitem_change", args=[quote(sku)])
