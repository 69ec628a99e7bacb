"""
What the stories over HTTP have in common: an order is placed, its story is told by the API, and stock is counted.
"""

from uuid import uuid4

from django.core import mail
from rest_framework.test import APIClient

from inventory.models import StockItem


def place(api: APIClient, *, quantity: int = 1, payment_method: str = "tok_visa", price: int = 4_500) -> str:
    """
    Order so many red chairs, and return the address of the order.
    """
    wish = {
        "lines": [{"sku": "RED-CHAIR", "quantity": quantity}],
        "payment_method": payment_method,
        "expected_total": quantity * price,
    }
    answer = api.post("/api/v1/orders/", wish, format="json", headers={"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 201, answer.content
    return f"/api/v1/orders/{answer.json()['id']}/"


def story(api: APIClient, order: str) -> list[str]:
    """
    List the states that the customer sees the order take, and the reason for its end.
    """
    told = api.get(order).json()
    return [step["status"] for step in told["history"]] + [told["cancel_reason"]] * bool(told["cancel_reason"])


def shelf() -> tuple[int, int]:
    """
    Tell how many red chairs are on hand and how many of them are reserved.
    """
    return StockItem.objects.values_list("on_hand", "reserved").get(sku="RED-CHAIR")


def letters() -> list[str]:
    """
    List the subjects of what was mailed, without the order's id.
    """
    return [" ".join(word for word in sent.subject.split() if len(word) < 36) for sent in mail.outbox]
