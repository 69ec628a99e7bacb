"""
A moment and order lines for the tests of inventory.
"""

from datetime import UTC, datetime

from messaging.contracts import Line

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def chairs(quantity: int) -> list[Line]:
    """
    Return the lines of an order of so many red chairs.
    """
    return [Line(sku="RED-CHAIR", quantity=quantity)]
