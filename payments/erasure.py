"""
Contact data in payments, and its erasure. Amounts, captures and refunds stay.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from .models import PaymentIntent, WebhookEvent


def contact_data(order_ids: Collection[UUID]) -> Mapping[str, QuerySet[Any]]:
    """
    Return the rows with contact data of these orders, by what they are. A webhook's body may have the address that the
    customer gave to the gateway.
    """
    intents = PaymentIntent.objects.filter(order_id__any=order_ids)
    keys = [str(pk) for pk in intents.values_list("pk", flat=True)]
    webhooks = WebhookEvent.objects.filter(Q(order_id__any=order_ids) | Q(charge_key__any=keys))
    return {"payments": intents.exclude(email="", phone=""), "webhooks": webhooks.exclude(body=b"")}


@transaction.atomic
def erase(order_ids: Collection[UUID]) -> None:
    """
    Erase the contact data of these orders.
    """
    rows = contact_data(order_ids)
    rows["payments"].update(email="", phone="")
    rows["webhooks"].update(body=b"")
