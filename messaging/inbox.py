"""
The inbox: messages of other services become messages here, each once, with deliveries for their subscribers here.

A message that cannot be decoded is stored as it was received, for `messaging.receive` as its subscriber: the relay
makes it a dead letter, and a replay decodes it again.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from uuid import UUID

import msgspec
from django.apps import apps
from django.db import transaction
from django.utils import timezone

from . import wakeup
from .cloud_events import decode_cloud_event, storable_key
from .contracts import Event, Undecodable, event_types, home_context
from .kernel.databases import Row, insert_new, insert_new_rows, visible_before_flush
from .kernel.ids import parse_id
from .kernel.tracing import is_traceparent, new_traceparent
from .models import Delivery, OutboxMessage
from .outbox import DELIVERY_FIELDS, new_delivery
from .sending import transport
from .subscribers import subscriber, subscribers_of

UNDECODABLE = "undecodable"
"""The type of messages that are stored as they were received."""

RECEIVE = "messaging.receive"
"""Their subscriber."""


def register() -> None:
    """
    Subscribe to messages that are stored as they were received. They are of no type of the published language, so they
    get their deliveries from `store`.
    """
    subscriber(decode=lambda type_, payload: decode_cloud_event(payload.encode()))(receive)


def receive(messages: Sequence[OutboxMessage]) -> None:
    """
    Store messages that can be decoded now.
    """
    _insert(messages)


def wanted_types() -> set[str]:
    """
    Return the types of events that this service receives.
    """
    return received_types({config.name for config in apps.get_app_configs()} - {"messaging"})


def received_types(contexts: Collection[str]) -> set[str]:
    """
    Return the types of events that a service of these contexts receives: those that it subscribes to, and that others
    publish. Every service publishes those of `messaging`.
    """
    return {
        type_
        for type_, event in event_types().items()
        if not event.internal and home_context(type_) not in contexts
        if any(home_context(candidate.name) in contexts for candidate in subscribers_of(event))
    }


def store(bodies: Sequence[bytes]) -> None:
    """
    Write received messages, and a delivery for each of their subscribers here, in one transaction, and return when they
    are on disk. Messages and deliveries that exist already stay as they are, so it may be called again for the same
    messages.
    """
    with visible_before_flush():
        _insert([_read(body) for body in bodies])


def _insert(messages: Sequence[OutboxMessage]) -> None:
    # In the order of ids: two receivers of the same messages do not wait for each other.
    insert_new(sorted({message.pk: message for message in messages}.values(), key=lambda message: message.pk))
    if deliveries := list(_deliveries(messages)):
        insert_new_rows(Delivery, DELIVERY_FIELDS, deliveries)
    transaction.on_commit(wakeup.notify, robust=True)


def _deliveries(messages: Iterable[OutboxMessage]) -> Iterator[Row]:
    now = timezone.now()
    for message in messages:
        names = [RECEIVE] if message.type == UNDECODABLE else _subscribers(event_types()[message.type])
        for name in names:
            yield new_delivery(message.pk, name, message.key, due_at=now)


def _subscribers(event: type[Event]) -> list[str]:
    return [candidate.name for candidate in subscribers_of(event) if candidate.react is not transport]


def _read(body: bytes) -> OutboxMessage:
    try:
        return decode_cloud_event(body)
    except Undecodable:
        return _as_received(body)


class _About(msgspec.Struct):
    subject: str = ""
    correlationid: str = ""
    traceparent: str = ""


def _as_received(body: bytes) -> OutboxMessage:
    """
    Return a message that contains a body as text. Its id follows from the body, so that a repetition has the same.
    """
    id_, about = UUID(bytes=sha256(body).digest()[:16]), _about(body)
    return OutboxMessage(
        id=id_,
        type=UNDECODABLE,
        version=1,
        key=about.subject,
        payload=_as_text(body),
        correlation_id=parse_id(about.correlationid) or id_,
        traceparent=about.traceparent if is_traceparent(about.traceparent) else new_traceparent(id_.hex),
        published_at=timezone.now(),
    )


def _as_text(body: bytes) -> str:
    """
    Return a body as text: JSON without whitespace, as `erasure` expects it.
    """
    with suppress(ValueError, RecursionError):
        body = msgspec.json.format(body, indent=-1)
    return body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def _about(body: bytes) -> _About:
    """
    Return what can be read of the attributes by which a message is found.
    """
    try:
        about = msgspec.json.decode(body, type=_About)
        storable_key(about.subject)
    except (ValueError, RecursionError):
        return _About()
    return about
