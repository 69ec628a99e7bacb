"""
Subscribers of inventory: reactions to product and order events.
"""

from collections.abc import Sequence

from django.utils import timezone

from messaging import erasure as messages
from messaging.contracts import ContactDataErased, OrderCancelled, OrderConfirmed, OrderPlaced, ProductAdded
from messaging.subscribers import subscriber

from . import services


@subscriber(ProductAdded)
def open_stock_item(events: Sequence[ProductAdded]) -> None:
    services.open_stock_items([event.sku for event in events], now=timezone.now())


@subscriber(OrderPlaced)
def reserve_stock(events: Sequence[OrderPlaced]) -> None:
    services.reserve({event.order_id: event.lines for event in events}, now=timezone.now())


@subscriber(OrderConfirmed)
def commit_reservation(events: Sequence[OrderConfirmed]) -> None:
    services.commit([event.order_id for event in events], now=timezone.now())


@subscriber(OrderCancelled)
def release_stock(events: Sequence[OrderCancelled]) -> None:
    services.release([event.order_id for event in events], now=timezone.now())


@subscriber(ContactDataErased)
def erase_messages(events: Sequence[ContactDataErased]) -> None:
    messages.erase_named([event.order_id for event in events])
