"""
What a message to a customer can say: the kind of message and the facts, taken from the event that it is about.
"""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from messaging.contracts import (
    ConfirmedLine,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    PasswordChanged,
    PasswordResetRequested,
    PaymentDueSoon,
    PaymentRefunded,
    SignUpRepeated,
    SignUpRequested,
)

OrderEvent = OrderPlaced | OrderConfirmed | OrderCancelled | PaymentDueSoon | PaymentRefunded
LinkEvent = PasswordResetRequested | SignUpRequested
"""What is told with a one-time link."""
AccountEvent = LinkEvent | PasswordChanged | SignUpRepeated
CustomerEvent = OrderEvent | AccountEvent

KINDS = {
    OrderPlaced: "order_received",
    OrderConfirmed: "order_confirmed",
    OrderCancelled: "order_cancelled",
    PaymentDueSoon: "payment_due_soon",
    PaymentRefunded: "payment_refunded",
    PasswordResetRequested: "password_reset",
    PasswordChanged: "password_changed",
    SignUpRequested: "sign_up",
    SignUpRepeated: "account_exists",
}
KINDS_BY_CANCEL_REASON = {
    "out_of_stock": "out_of_stock",
    "payment_failed": "payment_failed",
    "expired": "order_expired",
}
"""Other orders were cancelled on request, of the customer or of the shop."""

RIGHT_TO_LEFT = {"R", "AL"}
FIRST_STRONG_ISOLATE, POP_DIRECTIONAL_ISOLATE = "\u2068", "\u2069"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """
    Amounts are minor units. A fact that the event does not state is empty or 0: events of earlier releases lack some.
    """

    order_id: str = ""
    """Empty in a message about an account."""
    number: str = ""
    currency: str = ""
    total: int = 0
    lines: tuple[ConfirmedLine, ...] = ()
    due_at: datetime | None = None
    """When the payment is overdue."""
    by_customer: bool = False
    """The customer requested the cancellation."""
    payment_requested: bool = False
    amount: int = 0
    """Of the refund."""
    refunded: int = 0
    """Of the total so far, this refund included. 0 if the refund is not part of the total."""
    cause: str = ""
    """Of the refund: cancelled, late, double, wrong_amount or operator."""
    reason: str = ""
    """Of a refund by an operator, as the operator wrote it."""
    username: str = ""
    """Of the account that the message is about."""
    link_id: str = ""
    """Of a one-time link (`shop.http.one_time_links`)."""
    until: datetime | None = None
    """When that link expires."""
    at: datetime | None = None
    """When the password was changed."""


def kind_of(event: CustomerEvent) -> str:
    """
    Return the kind of message that tells the customer of an event.
    """
    if isinstance(event, OrderCancelled):
        return KINDS_BY_CANCEL_REASON.get(event.reason, KINDS[OrderCancelled])
    return KINDS[type(event)]


def facts_of(event: CustomerEvent) -> Facts:
    """
    Return the facts that an event states for its customer.
    """
    if isinstance(event, AccountEvent):
        return _facts_about_account(event)
    match event:
        case OrderPlaced():
            return _facts(event, total=event.total, lines=_printable(event.bought))
        case OrderConfirmed():
            return _facts(event, total=event.total, lines=_printable(event.lines))
        case OrderCancelled():
            return _facts(
                event,
                total=event.total,
                lines=_printable(event.lines),
                by_customer=event.reason == "by_customer",
                payment_requested=event.payment_requested,
            )
        case PaymentDueSoon():
            due_at = datetime.fromisoformat(event.due_at) if event.due_at else None
            return _facts(event, total=event.amount, lines=_printable(event.lines), due_at=due_at)
        case PaymentRefunded():
            refunded = 0 if event.surplus else event.refunded
            return _facts(
                event,
                total=event.order_total,
                amount=event.amount,
                refunded=refunded,
                cause=event.cause,
                reason=printable(event.reason) if event.cause == "operator" else "",
            )


def _facts_about_account(event: AccountEvent) -> Facts:
    username = "" if isinstance(event, SignUpRequested) else printable(event.username)
    match event:
        case PasswordResetRequested() | SignUpRequested():
            return Facts(username=username, link_id=event.request_id, until=datetime.fromisoformat(event.expires_at))
        case PasswordChanged():
            return Facts(username=username, at=datetime.fromisoformat(event.changed_at))
        case SignUpRepeated():
            return Facts(username=username)


def printable(text: str) -> str:
    """
    Return a text from outside as one line that cannot affect the text around it: white space and control characters
    become single spaces, characters that set the direction of writing are removed, and a text that is written from
    right to left is isolated (UAX #9).
    """
    if text.isascii() and text.isprintable():  # most texts: the rest takes a microsecond per character
        return " ".join(text.split())
    line = " ".join("".join(map(_visible, text)).split())
    if any(unicodedata.bidirectional(character) in RIGHT_TO_LEFT for character in line):
        return f"{FIRST_STRONG_ISOLATE}{line}{POP_DIRECTIONAL_ISOLATE}"
    return line


def _facts(event: OrderEvent, **facts: Any) -> Facts:
    return Facts(order_id=event.order_id, number=printable(event.number), currency=event.currency, **facts)


def _printable(lines: tuple[ConfirmedLine, ...]) -> tuple[ConfirmedLine, ...]:
    return tuple(
        ConfirmedLine(sku=line.sku, name=printable(line.name), quantity=line.quantity, unit_price=line.unit_price)
        for line in lines
    )


def _visible(character: str) -> str:
    if unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}:
        return ""
    return " " if unicodedata.category(character) in {"Cc", "Zl", "Zp"} else character
