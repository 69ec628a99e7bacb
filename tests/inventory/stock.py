"""
Stock counters and order lines for the tests of inventory.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from inventory.models import StockItem
from messaging.contracts import Line

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Counters:
    on_hand: int
    reserved: int = 0


def counters(sku: str = "RED-CHAIR") -> Counters:
    """
    Return the stored counters of a stock item.
    """
    return Counters(**StockItem.objects.values("on_hand", "reserved").get(sku=sku))


def chairs(quantity: int) -> list[Line]:
    """
    Return the lines of an order of so many red chairs.
    """
    return [Line(sku="RED-CHAIR", quantity=quantity)]
