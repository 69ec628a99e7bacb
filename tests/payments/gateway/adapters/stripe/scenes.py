"""
Requests to charge and refund a chair, and the time and secrets of the tests.
"""

from datetime import UTC, datetime
from typing import Any

from payments.gateway.protocol import ChargeRequest, RefundRequest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET, OLD_SECRET = "whsec_new", "whsec_old"


def chair(**changes: Any) -> ChargeRequest:
    fields = {"idempotency_key": "pay-1", "order_id": "order-1", "amount": 2500, "currency": "EUR", "opened_at": NOW}
    return ChargeRequest(**(fields | {"payment_method": "pm_card_visa"} | changes))


def refund_request(reference: str, **changes: Any) -> RefundRequest:
    fields = {"idempotency_key": "refund-1", "charge_reference": reference, "amount": 2500, "currency": "EUR"}
    return RefundRequest(**(fields | changes))


def only(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (sole,) = objects.values()
    return sole
