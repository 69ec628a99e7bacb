"""
Contact data in orders, in the notes of operators and in what they wrote into the admin's log, and its erasure. Amounts,
lines, statuses, history and the reasons of refunds stay.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import QuerySet

from messaging.contracts import ContactDataErased, CustomerErased
from messaging.outbox import publish, publish_all

from .models import Order, OrderNote, StoredResponse

WHY = " Reason: "
"""Begins what an operator wrote in an entry of the admin's log."""


def contact_data(order_ids: Collection[UUID]) -> Mapping[str, QuerySet[Any]]:
    """
    Return the rows with contact data of these orders, by what they are.
    """
    orders = Order.objects.filter(pk__any=order_ids)
    return {
        # A fingerprint is a digest of a request: who knows the rest of it could test guesses of its address.
        "orders": orders.exclude(email="", phone="", note="", fingerprint=""),
        "stored responses": StoredResponse.objects.filter(order_id__any=order_ids),
        "notes of operators": OrderNote.objects.filter(order_id__any=order_ids),
        "entries of the admin's log": LogEntry.objects.filter(
            object_id__any=[str(order_id) for order_id in order_ids],
            content_type__app_label="orders",
            content_type__model="order",
            change_message__contains=WHY,
        ),
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
    Erase the contact data of these orders, and have it erased by the other contexts, after all other events of orders.
    """
    rows = contact_data(order_ids)
    rows["stored responses"].delete()
    rows["notes of operators"].delete()
    for entry in rows["entries of the admin's log"]:
        entry.change_message = entry.change_message.partition(WHY)[0]
        entry.save(update_fields=["change_message"])
    rows["orders"].update(email="", phone="", note="", fingerprint="")
    publish_all([ContactDataErased(order_id=str(order_id)) for order_id in order_ids])


def publish_erased(customer_id: str, sign_ups: Collection[UUID]) -> None:
    """
    Have what other contexts store about a customer erased. In the transaction that erases the account.

    :param sign_ups: the ids of the customer's requests to sign up, about which others were told before the account had
        an id.
    """
    publish(CustomerErased(customer_id=customer_id, sign_ups=tuple(map(str, sign_ups))))
