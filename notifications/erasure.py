"""
Contact data in notifications and the suppression list, and its erasure. Kinds, statuses and times stay. Entries of the
list are deleted: a hash that recognised the recipient again could be traced back to a phone number.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from .models import Notification, Preference, Suppression
from .suppressions import folded

ERASED = {"recipient": "", "subject": "", "body": "", "html": "", "error": ""}


def contact_data(order_ids: Collection[UUID]) -> Mapping[str, QuerySet[Any]]:
    """
    Return the rows with contact data about these orders, by what they are.
    """
    told = _for_customers(order_ids)
    recipients = set(map(folded, addresses_of(order_ids)))
    about = Q(notification__order_id__any=order_ids) | Q(recipient__any=recipients)
    return {"notifications": told.exclude(**ERASED), "suppressions": Suppression.objects.filter(about)}


def message_keys(order_ids: Collection[UUID]) -> list[str]:
    """
    Return the keys of the messages that have notifications about these orders sent.
    """
    return [str(pk) for pk in Notification.objects.filter(order_id__any=order_ids).values_list("pk", flat=True)]


def about_account(
    customer_ids: Collection[str], sign_ups: Collection[UUID], addresses: Collection[str] = ()
) -> QuerySet[Notification]:
    """
    Return the notifications with contact data about the accounts of customers, and about their sign-up, which was
    before there was an account.

    :param sign_ups: the ids of their requests to sign up. Other requests with the same address are theirs, too.
    :param addresses: addresses of the customers.
    """
    told = Notification.objects.filter(kind__in=Notification.ABOUT_ACCOUNTS).exclude(**ERASED)
    signed_up = told.filter(link_id__any=sign_ups).values("recipient")
    # Those to the address of a customer are another customer's, if a mailbox has several.
    to_them = Q(recipient__any=addresses) | Q(recipient__in=signed_up)
    return told.filter(Q(customer_id__any=customer_ids) | Q(to_them, customer_id=""))


def account_message_keys(
    customer_ids: Collection[str], sign_ups: Collection[UUID], addresses: Collection[str] = ()
) -> list[str]:
    """
    Return the keys of the messages about the accounts of customers, and of those that have notifications of them sent.
    """
    told = about_account(customer_ids, sign_ups, addresses).values_list("pk", "link_id")
    return [*customer_ids, *map(str, sign_ups), *(str(id_) for row in told for id_ in row if id_)]


def addresses_of(order_ids: Collection[UUID]) -> set[str]:
    """
    Return the addresses to which notifications about these orders were sent.
    """
    sent = _for_customers(order_ids).exclude(recipient="")
    return set(sent.values_list("recipient", flat=True).distinct())


def preferences_of(customer_ids: Collection[str]) -> QuerySet[Preference]:
    """
    Return what customers chose about notifications.
    """
    return Preference.objects.filter(customer_id__any=customer_ids)


@transaction.atomic
def erase(order_ids: Collection[UUID]) -> None:
    """
    Erase the contact data about these orders. What was not sent yet is not sent.
    """
    rows, entries = contact_data(order_ids).values()
    entries.delete()
    erase_texts(rows)


@transaction.atomic
def erase_texts(rows: QuerySet[Notification]) -> None:
    """
    Erase the contact data of these notifications. What was not sent yet is not sent.
    """
    unsent = rows.filter(status__in=Notification.UNSENT)
    unsent.update(status=Notification.Status.SUPPRESSED, reason=Notification.Reason.ERASED)
    rows.update(**ERASED)


def _for_customers(order_ids: Collection[UUID]) -> QuerySet[Notification]:
    return Notification.objects.filter(order_id__any=order_ids).exclude(kind__in=Notification.FOR_OPERATOR)
