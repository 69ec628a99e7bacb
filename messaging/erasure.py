"""
Contact data in messages and in the errors of their deliveries, and its erasure. What was published stays.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from .models import Attempt, OutboxMessage

CONTACT_FIELDS = ("email", "phone", "username")
"""The fields of events in `contracts` that hold contact data, or identify a customer."""

CONTACT = re.compile(rf'"({"|".join(CONTACT_FIELDS)})":("(?:[^"\\]|\\.)+")')
HAS_CONTACT = Q()
for _field in CONTACT_FIELDS:
    HAS_CONTACT |= Q(payload__contains=f'"{_field}":"') & ~Q(payload__contains=f'"{_field}":""')


def contact_data(keys: Collection[str], addresses: Collection[str]) -> Mapping[str, Collection[Any]]:
    """
    Return the messages with these keys that have contact data, and the failed attempts that name one of the addresses.
    """
    messages = OutboxMessage.objects.filter(key__any=keys)
    return {"messages": messages.filter(HAS_CONTACT), "failed attempts": _naming(messages, addresses)}


@transaction.atomic
def erase(keys: Collection[str], addresses: Collection[str]) -> None:
    """
    Erase contact data in messages with these keys and in the errors of their deliveries. A delivery that is pending
    gets its event without it.
    """
    rows = contact_data(keys, addresses)
    for message in rows["messages"]:
        # By its text: a message that could not be decoded has them at any depth.
        message.payload = CONTACT.sub(r'"\1":""', message.payload)
    OutboxMessage.objects.bulk_update(rows["messages"], ["payload"], batch_size=500)
    for attempt in rows["failed attempts"]:
        attempt.error, attempt.traceback = (_without(addresses, text) for text in (attempt.error, attempt.traceback))
    Attempt.objects.bulk_update(rows["failed attempts"], ["error", "traceback"], batch_size=100)


def erase_named(keys: Collection[str]) -> None:
    """
    Erase contact data in messages with these keys, and the addresses that they name in the errors of their deliveries.
    """
    payloads = [message.payload for message in contact_data(keys, ())["messages"]]
    erase(keys, {json.loads(value) for payload in payloads for _, value in CONTACT.findall(payload)})


def _naming(messages: QuerySet[OutboxMessage], addresses: Collection[str]) -> list[Attempt]:
    attempts = Attempt.objects.filter(delivery__message__in=messages).iterator() if addresses else ()
    return [attempt for attempt in attempts if any(each in attempt.error + attempt.traceback for each in addresses)]


def _without(addresses: Collection[str], text: str) -> str:
    return re.sub("|".join(map(re.escape, addresses)), "(erased)", text)
