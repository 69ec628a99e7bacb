"""
Events that notify customer 17 or the operator.
"""

from datetime import UTC, datetime
from uuid import uuid4

from messaging import contracts
from notifications import services
from notifications.models import Notification
from tests.factories import CustomerFactory

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
ORDER = "01900000-0000-7000-8000-000000000001"


def confirmed(**changes: object) -> contracts.OrderConfirmed:
    lines = (
        contracts.ConfirmedLine(sku="RED-CHAIR", name="Red chair", quantity=2, unit_price=4_500),
        contracts.ConfirmedLine(sku="MUG", name="Mug <& more>", quantity=1, unit_price=0),
    )
    fields = {"order_id": ORDER, "lines": lines, "email": "ada@example.com", "customer_id": "17"}
    return contracts.OrderConfirmed(total=9_000, currency="GBP", **fields | changes)


def cancelled(reason: str, *, payment_requested: bool = False) -> contracts.OrderCancelled:
    return contracts.OrderCancelled(
        order_id=ORDER,
        reason=reason,
        payment_requested=payment_requested,
        total=1_234_567,
        currency="GBP",
        email="ada@example.com",
        customer_id="17",
    )


def due_soon() -> contracts.PaymentDueSoon:
    return contracts.PaymentDueSoon(
        order_id=ORDER, amount=9_000, currency="JPY", email="ada@example.com", customer_id="17"
    )


def refunded(**changes: object) -> contracts.PaymentRefunded:
    fields = {"email": "ada@example.com", "customer_id": "17"}
    return contracts.PaymentRefunded(
        order_id=ORDER, refund_id=str(uuid4()), amount=50, currency="EUR", **fields | changes
    )


def anomaly(kind: str, *, detail: str = "ch_1") -> contracts.PaymentAnomalyFound:
    return contracts.PaymentAnomalyFound(order_id=ORDER, anomaly=kind, amount=4_500, currency="GBP", detail=detail)


def notify(*events: services.Notifiable) -> None:
    """
    Notify of these events, each in a message of its own.
    """
    services.notify({uuid4(): event for event in events}, now=NOON)


def confirmed_to(username: str, **changes: object) -> contracts.OrderConfirmed:
    """
    Return the event of a confirmed order of this customer.
    """
    return confirmed(customer_id=str(CustomerFactory(username=username).pk), **changes)


def make_notification(event: services.Notifiable) -> Notification:
    """
    Notify of this event, and return the stored notification.
    """
    notify(event)
    return Notification.objects.latest("pk")
