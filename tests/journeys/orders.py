"""
Orders placed over HTTP, and what the customer sees of them.
"""

from typing import NamedTuple
from uuid import uuid4

from django.core import mail
from rest_framework.test import APIClient

from inventory.models import StockItem
from notifications.models import Notification

CONFIRMED = ["placed", "awaiting_payment", "confirmed"]


class Stock(NamedTuple):
    on_hand: int
    reserved: int = 0


def place(api: APIClient, *, quantity: int = 1, payment_method: str = "tok_visa", price: int = 4_500) -> str:
    """
    Order so many red chairs, and return the URL of the order.
    """
    body = {
        "lines": [{"sku": "RED-CHAIR", "quantity": quantity}],
        "payment_method": payment_method,
        "expected_total": quantity * price,
    }
    response = api.post("/api/v1/orders/", body, format="json", headers={"Idempotency-Key": uuid4().hex})
    assert response.status_code == 201, response.content
    return f"/api/v1/orders/{response.json()['id']}/"


def history_of(api: APIClient, order: str) -> list[str]:
    """
    Return the statuses in the history of an order, oldest first, then the reason if it was cancelled.
    """
    response_body = api.get(order).json()
    statuses = [step["status"] for step in response_body["history"]]
    return statuses + [response_body["cancel_reason"]] * bool(response_body["cancel_reason"])


def stock(sku: str = "RED-CHAIR") -> Stock:
    """
    Return how many of a product are on hand and how many of them are reserved.
    """
    return Stock(**StockItem.objects.values("on_hand", "reserved").get(sku=sku))


def mail_kinds() -> list[str]:
    """
    Return the kinds of the sent mails in their order, without the acknowledgements of orders.
    """
    return [kind for kind in all_mail_kinds() if kind != "order_received"]


def all_mail_kinds() -> list[str]:
    """
    Return the kinds of the sent mails in their order.
    """
    ids = [message.extra_headers["Message-ID"].strip("<>").partition("@")[0] for message in mail.outbox]
    kinds = {str(pk): kind for pk, kind in Notification.objects.values_list("pk", "kind")}
    return [kinds[id_] for id_ in ids]
