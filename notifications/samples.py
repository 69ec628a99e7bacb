"""
Sample events, one for each wording of each kind of message: previews show them, and tests render them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from messaging import contracts
from messaging.contracts import SignUpRequested

from .facts import AccountEvent, CustomerEvent, OrderEvent

LINES = (
    contracts.ConfirmedLine(sku="RED-CHAIR", name="Red chair", quantity=2, unit_price=4_500),
    contracts.ConfirmedLine(
        sku="TEA-CUPS-6", name="Six tea cups, hand-painted, with saucers", quantity=1, unit_price=3_250
    ),
    contracts.ConfirmedLine(sku="MUG", name="Mug “Salt & Pepper”", quantity=10, unit_price=350),
)
TOTAL = 15_750


LINK_ID = "01900000-0000-7000-8000-000000000003"


def _sample(event: type[OrderEvent], **facts: Any) -> OrderEvent:
    return event(
        order_id="01900000-0000-7000-8000-000000000001",
        number="K7Q4-M2X0",
        customer_id="17",
        email="ada@example.com",
        phone="+447700900123",
        currency="GBP",
        **facts,
    )


def _about_account(event: Callable[..., AccountEvent], **facts: Any) -> AccountEvent:
    return event(username="ada", email="ada@example.com", customer_id="17", **facts)


def _sign_up(event: type[SignUpRequested]) -> SignUpRequested:
    return event(request_id=LINK_ID, email="ada@example.com", expires_at="2030-06-01T12:35:00+00:00")


def _cancelled(reason: str, *, payment_requested: bool) -> OrderEvent:
    return _sample(
        contracts.OrderCancelled, reason=reason, payment_requested=payment_requested, total=TOTAL, lines=LINES
    )


def _refunded(amount: int, cause: str, *, refunded: int = 0, reason: str = "") -> OrderEvent:
    """
    :param refunded: of the total; 0 for a surplus payment, which is not part of it.
    """
    about: dict[str, Any] = {
        "refund_id": "01900000-0000-7000-8000-000000000002",
        "order_total": TOTAL,
        "surplus": not refunded,
    }
    return _sample(contracts.PaymentRefunded, amount=amount, cause=cause, refunded=refunded, reason=reason, **about)


OF_ORDERS: Mapping[str, CustomerEvent] = {
    "order-received": _sample(contracts.OrderPlaced, lines=(), bought=LINES, total=TOTAL),
    "order-confirmed": _sample(contracts.OrderConfirmed, lines=LINES, total=TOTAL),
    "out-of-stock": _cancelled("out_of_stock", payment_requested=False),
    "payment-failed": _cancelled("payment_failed", payment_requested=True),
    "payment-due-soon": _sample(
        contracts.PaymentDueSoon, lines=LINES, amount=TOTAL, due_at="2030-06-01T12:35:00+00:00"
    ),
    "order-expired": _cancelled("expired", payment_requested=True),
    "cancelled-by-the-customer-before-payment": _cancelled("by_customer", payment_requested=False),
    "cancelled-by-the-customer": _cancelled("by_customer", payment_requested=True),
    "cancelled-by-the-shop": _cancelled("by_operator", payment_requested=True),
    "refunded-in-full": _refunded(TOTAL, "operator", refunded=TOTAL),
    "refunded-in-part": _refunded(4_500, "operator", refunded=4_500),
    "refunded-for-a-reason": _refunded(
        4_500, "operator", refunded=4_500, reason="One chair was scratched. We are sorry."
    ),
    "refunded-the-rest": _refunded(TOTAL - 4_500, "operator", refunded=TOTAL),
    "refunded-after-a-cancellation": _refunded(TOTAL, "cancelled", refunded=TOTAL),
    "refunded-a-late-payment": _refunded(TOTAL, "late", refunded=TOTAL),
    "refunded-a-double-payment": _refunded(TOTAL, "double"),
    "refunded-a-wrong-amount": _refunded(14_000, "wrong_amount"),
}
OF_ACCOUNTS: Mapping[str, CustomerEvent] = {
    "password-reset": _about_account(
        contracts.PasswordResetRequested, request_id=LINK_ID, expires_at="2030-06-01T12:35:00+00:00"
    ),
    "sign-up": _sign_up(contracts.SignUpRequested),
    "account-exists": _about_account(contracts.SignUpRepeated),
    "password-changed": _about_account(contracts.PasswordChanged, changed_at="2030-06-01T12:35:00+00:00"),
}
SAMPLES = {**OF_ORDERS, **OF_ACCOUNTS}
"""By a name that says what each is about."""
