"""
Publishing: what commits is announced, and only that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from types import MappingProxyType

from django.db import connection, transaction
from django.utils import timezone

from . import wakeup
from .contracts import Event, encode
from .models import Delivery, OutboxMessage, uuid7
from .subscribers import subscribers_of

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)  # W3C Trace Context, 3.2

_causes: ContextVar[Mapping[str, OutboxMessage]] = ContextVar("causes", default=MappingProxyType({}))
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")


class NotInTransaction(RuntimeError):
    """
    An event was published outside a transaction, so it could not commit together with the change it announces.

    Usually the change is made in a service that lacks `transaction.atomic()`. Wrap the change and its publication in
    one; do not catch this.
    """


def publish(event: Event, *, at: datetime | None = None) -> OutboxMessage:
    """
    Announce one event with the surrounding transaction; see `publish_all`.
    """
    return publish_all([event], at=at)[0]


def publish_all(events: Sequence[Event], *, at: datetime | None = None) -> list[OutboxMessage]:
    """
    Write these events and a delivery for each of their subscribers, in the caller's transaction.

    :param at: deliver them no earlier than this; until then they do not hold their keys.
    :raises NotInTransaction: if there is no transaction to join.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction(f"Publish {[event.type for event in events[:3]]} inside transaction.atomic().")
    now = timezone.now()
    messages = OutboxMessage.objects.bulk_create([_written(event, now) for event in events])
    Delivery.objects.bulk_create(_fan_out(events, messages, due_at=at or now, delayed=at is not None))
    transaction.on_commit(wakeup.ring, robust=True)
    return messages


def message_of(event: Event) -> OutboxMessage:
    """
    Find the message that brought this event to the subscriber that is handling it.
    """
    return _causes.get()[event.key]


@contextmanager
def handling(messages: Iterable[OutboxMessage]) -> Iterator[None]:
    """
    Make these messages the causes of what is published inside the block.
    """
    reset = _causes.set({message.key: message for message in messages})
    try:
        yield
    finally:
        _causes.reset(reset)


@contextmanager
def tracing(traceparent: str) -> Iterator[None]:
    """
    Pass a W3C trace context on to what is published inside the block; one that is malformed is ignored.
    """
    reset = _traceparent.set(traceparent if TRACEPARENT.fullmatch(traceparent) else "")
    try:
        yield
    finally:
        _traceparent.reset(reset)


def _cause_of(event: Event) -> OutboxMessage | None:
    """
    Find the message of the same key that is being handled; a lone message is the cause of whatever follows.
    """
    causes = _causes.get()
    return next(iter(causes.values())) if len(causes) == 1 else causes.get(event.key)


def _written(event: Event, now: datetime) -> OutboxMessage:
    message_id, cause = uuid7(), _cause_of(event)
    return OutboxMessage(
        id=message_id,
        type=event.type,
        version=event.version,
        key=event.key,
        payload=encode(event),
        correlation_id=cause.correlation_id if cause else message_id,
        causation_id=cause.id if cause else None,
        traceparent=cause.traceparent if cause else _traceparent.get(),
        published_at=now,
    )


def _fan_out(
    events: Sequence[Event], messages: Sequence[OutboxMessage], *, due_at: datetime, delayed: bool
) -> list[Delivery]:
    return [
        Delivery(message=message, subscriber=subscriber.name, key=message.key, due_at=due_at, delayed=delayed)
        for event, message in zip(events, messages, strict=True)
        for subscriber in subscribers_of(type(event))
    ]
