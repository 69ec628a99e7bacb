"""
Subscribers of orders: reactions to stock and payment events.
"""

from collections.abc import Sequence

from django.utils import timezone

from messaging.contracts import (
    PaymentFailed,
    PaymentRefunded,
    PaymentSucceeded,
    StockDepleted,
    StockRejected,
    StockReplenished,
    StockReserved,
    StockRunningLow,
)
from messaging.subscribers import subscriber

from . import services
from .models import Order
from .services import Availability


@subscriber(StockReserved)
def request_payment(events: Sequence[StockReserved]) -> None:
    services.request_payments([event.order_id for event in events], now=timezone.now())


@subscriber(StockRejected)
def cancel_out_of_stock(events: Sequence[StockRejected]) -> None:
    reasons = dict.fromkeys([event.order_id for event in events], Order.CancelReason.OUT_OF_STOCK)
    services.cancel_orders(reasons, now=timezone.now())


@subscriber(PaymentSucceeded)
def confirm_order(events: Sequence[PaymentSucceeded]) -> None:
    services.confirm_orders([event.order_id for event in events], now=timezone.now())


@subscriber(PaymentFailed)
def cancel_unpaid(events: Sequence[PaymentFailed]) -> None:
    reasons = {
        event.order_id: Order.CancelReason.EXPIRED if event.reason == "expired" else Order.CancelReason.PAYMENT_FAILED
        for event in events
    }
    services.cancel_orders(reasons, now=timezone.now())


@subscriber(PaymentRefunded)
def record_refund(events: Sequence[PaymentRefunded]) -> None:
    services.record_refunds(events, now=timezone.now())


@subscriber(StockDepleted, StockReplenished, StockRunningLow)
def show_availability(events: Sequence[StockDepleted | StockReplenished | StockRunningLow]) -> None:
    services.show_availability({event.sku: _availability(event) for event in events})


def _availability(event: StockDepleted | StockReplenished | StockRunningLow) -> Availability:
    match event:
        case StockDepleted():
            return Availability(event.revision, is_sold_out=True)
        case StockRunningLow():
            return Availability(event.revision, few_left=event.available)
        case _:
            return Availability(event.revision)
