"""
The published language: the events by which contexts communicate.

An event is a fact in the past tense. Its `type` never changes, its fields are JSON-native, money is integer minor units
with an ISO 4217 code, ids are strings. Add a field with a default; never rename or remove one; a new meaning is a new
event. The part of `type` before the dot names the only context that publishes it; `messaging` itself publishes what
becomes of its deliveries, and `accounts` is `shop.accounts`. An `internal` event is for its own context alone; the
others may leave this service.
"""

from functools import cache
from typing import ClassVar

import msgspec

LIVES_WITH = {"accounts": "orders"}
"""Contexts that are always in the service of another one."""


class Undecodable(ValueError):
    """
    The stored message is of a type that no contract describes, or its payload does not fit the contract.
    """


class Event(msgspec.Struct, frozen=True):
    type: ClassVar[str]
    version: ClassVar[int] = 1
    keyed_by: ClassVar[str] = "order_id"
    internal: ClassVar[bool] = False
    """Whether only the publishing context itself subscribes to it: it is never sent to other services."""

    @property
    def key(self) -> str:
        """
        The id of the object that the event is about: events with the same key reach a subscriber in order.
        """
        return str(getattr(self, self.keyed_by))


class Line(msgspec.Struct, frozen=True):
    sku: str
    quantity: int


class ConfirmedLine(msgspec.Struct, frozen=True):
    sku: str
    name: str
    quantity: int
    unit_price: int


class ProductAdded(Event, frozen=True):
    type: ClassVar[str] = "orders.product_added"
    keyed_by: ClassVar[str] = "sku"

    sku: str
    name: str


class OrderPlaced(Event, frozen=True):
    type: ClassVar[str] = "orders.order_placed"

    order_id: str
    lines: tuple[Line, ...]
    customer_id: str = ""
    number: str = ""
    email: str = ""
    phone: str = ""
    language: str = ""
    total: int = 0
    currency: str = ""
    bought: tuple[ConfirmedLine, ...] = ()


class PaymentRequested(Event, frozen=True):
    type: ClassVar[str] = "orders.payment_requested"

    order_id: str
    amount: int
    currency: str
    payment_method: str
    email: str
    customer_id: str = ""
    number: str = ""
    phone: str = ""
    language: str = ""


class PaymentDueSoon(Event, frozen=True):
    type: ClassVar[str] = "orders.payment_due_soon"

    order_id: str
    amount: int
    currency: str
    email: str
    customer_id: str = ""
    number: str = ""
    phone: str = ""
    language: str = ""
    lines: tuple[ConfirmedLine, ...] = ()
    due_at: str = ""


class PaymentOverdue(Event, frozen=True):
    type: ClassVar[str] = "orders.payment_overdue"

    order_id: str
    amount: int
    currency: str
    customer_id: str = ""


class OrderConfirmed(Event, frozen=True):
    type: ClassVar[str] = "orders.order_confirmed"

    order_id: str
    total: int
    currency: str
    email: str
    lines: tuple[ConfirmedLine, ...]
    customer_id: str = ""
    number: str = ""
    phone: str = ""
    language: str = ""


class OrderCancelled(Event, frozen=True):
    type: ClassVar[str] = "orders.order_cancelled"

    order_id: str
    reason: str
    payment_requested: bool
    total: int
    currency: str
    email: str
    customer_id: str = ""
    number: str = ""
    phone: str = ""
    language: str = ""
    lines: tuple[ConfirmedLine, ...] = ()


class ContactDataErased(Event, frozen=True):
    type: ClassVar[str] = "orders.contact_data_erased"

    order_id: str


class CustomerErased(Event, frozen=True):
    type: ClassVar[str] = "orders.customer_erased"
    keyed_by: ClassVar[str] = "customer_id"

    customer_id: str
    sign_ups: tuple[str, ...] = ()


class StockReserved(Event, frozen=True):
    type: ClassVar[str] = "inventory.stock_reserved"

    order_id: str


class StockRejected(Event, frozen=True):
    type: ClassVar[str] = "inventory.stock_rejected"

    order_id: str
    missing: tuple[str, ...]


class StockDepleted(Event, frozen=True):
    type: ClassVar[str] = "inventory.stock_depleted"
    keyed_by: ClassVar[str] = "sku"

    sku: str
    revision: int = 0


class StockReplenished(Event, frozen=True):
    type: ClassVar[str] = "inventory.stock_replenished"
    keyed_by: ClassVar[str] = "sku"

    sku: str
    revision: int = 0


class StockRunningLow(Event, frozen=True):
    type: ClassVar[str] = "inventory.stock_running_low"
    keyed_by: ClassVar[str] = "sku"

    sku: str
    available: int
    revision: int = 0


class PaymentSucceeded(Event, frozen=True):
    type: ClassVar[str] = "payments.payment_succeeded"

    order_id: str
    amount: int
    currency: str


class PaymentFailed(Event, frozen=True):
    type: ClassVar[str] = "payments.payment_failed"

    order_id: str
    reason: str
    detail: str = ""


class PaymentUnsettled(Event, frozen=True):
    type: ClassVar[str] = "payments.payment_unsettled"
    internal: ClassVar[bool] = True

    order_id: str
    ask: int


class RefundRequested(Event, frozen=True):
    type: ClassVar[str] = "payments.refund_requested"
    internal: ClassVar[bool] = True

    order_id: str
    refund_id: str


class PaymentRefunded(Event, frozen=True):
    type: ClassVar[str] = "payments.payment_refunded"

    order_id: str
    refund_id: str
    amount: int
    currency: str
    email: str
    customer_id: str = ""
    reason: str = ""
    surplus: bool = False
    number: str = ""
    phone: str = ""
    language: str = ""
    order_total: int = 0
    refunded: int = 0
    cause: str = ""


class WebhookReceived(Event, frozen=True):
    type: ClassVar[str] = "payments.webhook_received"
    keyed_by: ClassVar[str] = "story"
    internal: ClassVar[bool] = True

    story: str
    webhook_id: str
    parking_is_over: bool = False


class PaymentAnomalyFound(Event, frozen=True):
    type: ClassVar[str] = "payments.payment_anomaly_found"

    order_id: str
    anomaly: str
    amount: int
    currency: str
    detail: str = ""
    number: str = ""


class PasswordResetRequested(Event, frozen=True):
    """
    Without the link by which the password is reset: `notifications` derives it when it sends the mail.
    """

    type: ClassVar[str] = "accounts.password_reset_requested"
    keyed_by: ClassVar[str] = "customer_id"

    request_id: str
    customer_id: str
    email: str
    username: str
    expires_at: str
    language: str = ""


class PasswordChanged(Event, frozen=True):
    type: ClassVar[str] = "accounts.password_changed"
    keyed_by: ClassVar[str] = "customer_id"

    customer_id: str
    email: str
    username: str
    changed_at: str
    language: str = ""


class SignUpRequested(Event, frozen=True):
    """
    Without the link by which the address is confirmed, as `PasswordResetRequested`.
    """

    type: ClassVar[str] = "accounts.sign_up_requested"
    keyed_by: ClassVar[str] = "request_id"

    request_id: str
    email: str
    expires_at: str
    language: str = ""


class SignUpRepeated(Event, frozen=True):
    """
    Someone wants to sign up with the address of an account.
    """

    type: ClassVar[str] = "accounts.sign_up_repeated"
    keyed_by: ClassVar[str] = "customer_id"

    customer_id: str
    email: str
    username: str
    language: str = ""


class DeliveryDied(Event, frozen=True):
    type: ClassVar[str] = "messaging.delivery_died"
    keyed_by: ClassVar[str] = "delivery_id"

    delivery_id: str
    message_id: str
    subscriber: str
    event_type: str
    message_key: str
    order_id: str
    number: str
    error_class: str
    fingerprint: str


class EmailQueued(Event, frozen=True):
    type: ClassVar[str] = "notifications.email_queued"
    keyed_by: ClassVar[str] = "notification_id"
    internal: ClassVar[bool] = True

    notification_id: str
    order_id: str = ""
    number: str = ""


class SmsQueued(Event, frozen=True):
    type: ClassVar[str] = "notifications.sms_queued"
    keyed_by: ClassVar[str] = "notification_id"
    internal: ClassVar[bool] = True

    notification_id: str
    order_id: str = ""
    number: str = ""


def event_types() -> dict[str, type[Event]]:
    """
    Return all events of the published language by type.
    """
    return {event.type: event for event in Event.__subclasses__()}


def home_context(name: str) -> str:
    """
    Return the context whose service publishes events of this type, or runs the subscriber of this name; "messaging" for
    those that are in every service.
    """
    context = name.partition(".")[0]
    return LIVES_WITH.get(context, context)


def encode(event: Event) -> str:
    """
    Return an event as the JSON text that is stored.
    """
    return msgspec.json.encode(event).decode()


def decode(type_: str, payload: str) -> Event:
    """
    Return a stored event. Unknown fields are ignored: a newer publisher may have added them.

    :raises Undecodable: if no contract has this type, or the payload does not fit it.
    """
    try:
        return _decoder(type_).decode(payload)
    except msgspec.DecodeError as error:
        raise Undecodable(f"{type_}: {error}") from error


@cache
def _decoder(type_: str) -> msgspec.json.Decoder[Event]:
    try:
        return msgspec.json.Decoder(event_types()[type_])
    except KeyError:
        raise Undecodable(f"No contract describes {type_!r}: deploy the code that does, then replay.") from None
