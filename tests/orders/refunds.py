"""Refunds of orders, as payments announces them."""

from messaging.contracts import PaymentRefunded
from messaging.kernel.ids import new_id


def refund_of(order_id: object, amount: int = 4_500, **fields: object) -> PaymentRefunded:
    """Return the event of a refund of an order in GBP, or with these fields."""
    about = {"refund_id": str(new_id()), "currency": "GBP", "email": "ada@example.com"}
    return PaymentRefunded(order_id=str(order_id), amount=amount, **about | fields)
