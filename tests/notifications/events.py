"""
Events that notify customer 17 or the operator.
"""

from datetime import UTC, datetime
from uuid import uuid4

from messaging import contracts
from notifications import sending, services
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


def cancelled(reason: str, *, payment_requested: bool = False, **changes: object) -> contracts.OrderCancelled:
    fields = {"order_id": ORDER, "email": "ada@example.com", "customer_id": "17"}
    return contracts.OrderCancelled(
        reason=reason, payment_requested=payment_requested, total=1_234_567, currency="GBP", **fields | changes
    )


def placed(**changes: object) -> contracts.OrderPlaced:
    lines = (contracts.Line(sku="RED-CHAIR", quantity=2),)
    fields = {"order_id": ORDER, "lines": lines, "email": "ada@example.com", "customer_id": "17"}
    return contracts.OrderPlaced(total=9_000, currency="GBP", **fields | changes)


def due_soon(**changes: object) -> contracts.PaymentDueSoon:
    fields = {"order_id": ORDER, "email": "ada@example.com", "customer_id": "17"}
    return contracts.PaymentDueSoon(amount=9_000, currency="JPY", **fields | changes)


def refunded(**changes: object) -> contracts.PaymentRefunded:
    fields = {"email": "ada@example.com", "customer_id": "17"}
    return contracts.PaymentRefunded(
        order_id=ORDER, refund_id=str(uuid4()), amount=50, currency="EUR", **fields | changes
    )


def anomaly(kind: str, *, detail: str = "ch_1", number: str = "") -> contracts.PaymentAnomalyFound:
    about = {"order_id": ORDER, "number": number, "detail": detail}
    return contracts.PaymentAnomalyFound(anomaly=kind, amount=4_500, currency="GBP", **about)


def died(**changes: object) -> contracts.DeliveryDied:
    fields = {
        "delivery_id": "4711",
        "message_id": str(uuid4()),
        "subscriber": "payments.take_payment",
        "event_type": "orders.payment_requested",
        "message_key": ORDER,
        "order_id": ORDER,
        "number": "K7Q4-M2X0",
        "error_class": "PaymentUnknown",
        "fingerprint": "5d41402abc4b2a76",
    }
    return contracts.DeliveryDied(**fields | changes)


def notify(*events: services.Notifiable, now: datetime = NOON) -> None:
    """
    Queue notifications of these events, each in a message of its own, and send them.
    """
    queue(*events, now=now)
    send_queued(Notification.Channel.EMAIL, now=now)


def send_queued(channel: Notification.Channel, now: datetime = NOON) -> None:
    """
    Send the notifications of a channel that are queued or on their way.
    """
    unsent = Notification.objects.filter(channel=channel, status__in=Notification.UNSENT).order_by("pk")
    sending.send([str(notification.pk) for notification in unsent], channel=channel, now=now)


def queue(*events: services.Notifiable, now: datetime = NOON) -> None:
    """
    Queue notifications of these events, each in a message of its own.
    """
    services.queue({uuid4(): event for event in events}, now=now)


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
