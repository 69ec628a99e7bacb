"""
Contact data in orders, and its erasure. Amounts, lines, statuses and history stay.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from .models import Order, StoredResponse


def contact_data(order_ids: Collection[UUID]) -> Mapping[str, QuerySet[Any]]:
    """
    Return the rows with contact data of these orders, by what they are.
    """
    orders = Order.objects.filter(pk__any=order_ids)
    return {
        # A fingerprint is a digest of a request: who knows the rest of it could test guesses of its address.
        "orders": orders.exclude(email="", phone="", note="", fingerprint=""),
        "stored responses": StoredResponse.objects.filter(order_id__any=order_ids),
    }


def addresses_of(order_ids: Collection[UUID]) -> set[str]:
    """
    Return the e-mail addresses and phone numbers of these orders.
    """
    pairs = Order.objects.filter(pk__any=order_ids).values_list("email", "phone").distinct()
    return {address for pair in pairs for address in pair if address}


@transaction.atomic
def erase(order_ids: Collection[UUID]) -> None:
    """
    Erase the contact data of these orders.
    """
    rows = contact_data(order_ids)
    rows["stored responses"].delete()
    rows["orders"].update(email="", phone="", note="", fingerprint="")
