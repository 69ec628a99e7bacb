"""
What payments does on events of other contexts, and on its own.
"""

from collections.abc import Sequence
from uuid import UUID

from django.utils import timezone

from messaging import erasure as messages
from messaging.contracts import (
    ContactDataErased,
    OrderCancelled,
    PaymentOverdue,
    PaymentRequested,
    PaymentUnsettled,
    RefundRequested,
    WebhookReceived,
)
from messaging.subscribers import subscriber

from . import erasure, refunds
from .charges import services
from .webhooks import processing


@subscriber(PaymentRequested, transactional=False)
def take_payment(events: Sequence[PaymentRequested]) -> None:
    services.collect(events, now=timezone.now())


@subscriber(PaymentUnsettled, transactional=False)
def ask_again(events: Sequence[PaymentUnsettled]) -> None:
    services.ask_again({event.order_id: event.ask for event in events}, now=timezone.now())


@subscriber(PaymentOverdue, transactional=False)
def settle_overdue(events: Sequence[PaymentOverdue]) -> None:
    dues = {event.order_id: services.Due(event.amount, event.currency, event.customer_id) for event in events}
    services.settle_overdue(dues, now=timezone.now())


@subscriber(OrderCancelled)
def stop_payment(events: Sequence[OrderCancelled]) -> None:
    requested = [event for event in events if event.payment_requested]
    dues = {event.order_id: services.Due(event.total, event.currency, event.customer_id) for event in requested}
    services.stop(dues, now=timezone.now())


@subscriber(RefundRequested, transactional=False)
def send_refund(events: Sequence[RefundRequested]) -> None:
    refunds.send([event.refund_id for event in events], now=timezone.now())


@subscriber(WebhookReceived, transactional=False)
def settle_webhook(events: Sequence[WebhookReceived]) -> None:
    over = any(event.parking_is_over for event in events)
    processing.process([event.webhook_id for event in events], now=timezone.now(), parking_is_over=over)


@subscriber(ContactDataErased)
def erase_contact_data(events: Sequence[ContactDataErased]) -> None:
    messages.erase_named([event.order_id for event in events])
    erasure.erase([UUID(event.order_id) for event in events])
