"""
Publishing events in the transaction of the change that they announce.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from datetime import datetime
from itertools import repeat
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from . import wakeup
from .contracts import Event, encode
from .kernel import spans
from .kernel.databases import Row, bulk_copy
from .kernel.tracing import current_traceparent, enter_messages, enter_trace, new_traceparent
from .models import Delivery, OutboxMessage, new_id
from .subscribers import subscribers_of


class Cause(Protocol):
    """
    A message that is being handled: the cause of what its handling publishes.
    """

    @property
    def message_id(self) -> UUID: ...
    @property
    def type(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def payload(self) -> str: ...
    @property
    def correlation_id(self) -> UUID: ...
    @property
    def causation_id(self) -> UUID | None: ...
    @property
    def traceparent(self) -> str: ...
    @property
    def published_at(self) -> datetime: ...


_causes: ContextVar[Mapping[str, Cause]] = ContextVar("causes", default=MappingProxyType({}))
_traces: ContextVar[Mapping[str, str]] = ContextVar("traces", default=MappingProxyType({}))


MESSAGE_FIELDS = (
    "id", "type", "version", "key", "payload", "correlation_id", "causation_id", "traceparent", "published_at",
)  # fmt: skip
DELIVERY_FIELDS = (
    "message_id", "subscriber", "key", "status", "due_at", "delayed", "suspect", "attempts", "deferrals", "error_class",
    "fingerprint",
)  # fmt: skip


class NotInTransaction(RuntimeError):
    """
    An event was published outside a transaction, so it could not commit together with the change it announces.

    Usually the change is made in a service that lacks `transaction.atomic()`. Wrap the change and its publication in
    one; do not catch this.
    """


def publish(event: Event, *, at: datetime | None = None) -> None:
    """
    Publish one event in the current transaction; see `publish_all`.
    """
    publish_all([event], at=at)


def publish_all(events: Sequence[Event], *, at: datetime | None = None) -> None:
    """
    Publish events: write a message for each, and a delivery for each of its subscribers, in the current transaction.

    :param at: deliver them no earlier than this; until then they do not delay later events with their keys.
    :raises NotInTransaction: if there is no transaction.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction(f"Publish {[event.type for event in events[:3]]} inside transaction.atomic().")
    if events:
        now = timezone.now()
        ids = [new_id() for _ in events]
        bulk_copy(OutboxMessage, MESSAGE_FIELDS, map(_message, events, ids, repeat(now), repeat(spans.is_on())))
        bulk_copy(Delivery, DELIVERY_FIELDS, _deliveries(events, ids, due_at=at or now, delayed=at is not None))
        transaction.on_commit(wakeup.notify, robust=True)


def new_delivery(message_id: UUID, subscriber: str, key: str, *, due_at: datetime, delayed: bool = False) -> Row:
    """
    Return the row of a pending delivery, in the order of `DELIVERY_FIELDS`.
    """
    return message_id, subscriber, key, Delivery.Status.PENDING.value, due_at, delayed, False, 0, 0, "", ""


def message_of(event: Event) -> Cause:
    """
    Return the message of an event that is being handled.
    """
    return _causes.get()[event.key]


@contextmanager
def continued_traces(traceparents: Mapping[str, str]) -> Iterator[None]:
    """
    Let events with these keys, which are published inside the block, continue the trace of the first message with their
    key, if there is one: a request of another system, such as a webhook, belongs to the order that it is about.

    :param traceparents: by keys: the traces of the requests, which are continued otherwise.
    """
    messages = OutboxMessage.objects.filter(key__in=list(traceparents)).order_by("-id")
    first = dict(messages.values_list("key", "traceparent"))
    reset = _traces.set({key: first.get(key) or traceparent for key, traceparent in traceparents.items()})
    try:
        yield
    finally:
        _traces.reset(reset)


@contextmanager
def handling(causes: Iterable[Cause]) -> Iterator[None]:
    """
    Handle these messages inside the block: they are the causes of what it publishes.
    """
    reset = _causes.set({cause.key: cause for cause in causes})
    try:
        yield
    finally:
        _causes.reset(reset)


@contextmanager
def caused_by(keys: Mapping[str, str]) -> Iterator[None]:
    """
    Publish events inside the block whose keys are not those of the messages that cause them.

    :param keys: the key of the message that is being handled, by the key of the event that it causes.
    """
    causes = _causes.get()
    reset = _causes.set({key: causes[cause] for key, cause in keys.items() if cause in causes})
    try:
        yield
    finally:
        _causes.reset(reset)


def context_of(key: str) -> Context:
    """
    Return a copy of the current context in which the message of this key is the only one being handled, for a thread
    that works on one event of a batch: its log lines show the event's message and trace.
    """
    context = copy_context()
    cause = _causes.get().get(key)
    if cause:
        context.run(_causes.set, {key: cause})
        context.run(enter_trace, cause.traceparent)
        context.run(enter_messages, [cause])
    return context


def _cause_of(event: Event) -> Cause | None:
    """
    Return the message with the event's key that is being handled, or the only message that is.
    """
    causes = _causes.get()
    return next(iter(causes.values())) if len(causes) == 1 else causes.get(event.key)


def _message(event: Event, id_: UUID, now: datetime, is_traced: bool) -> Row:  # noqa: FBT001  (for `map`)
    row = id_, event.type, event.version, event.key, encode(event)
    causation_id: UUID | None
    if cause := _cause_of(event):
        traceparent, correlation_id, causation_id = cause.traceparent, cause.correlation_id, cause.message_id
    else:
        traceparent, correlation_id, causation_id = _traces.get().get(event.key) or current_traceparent(), id_, None
    if is_traced:
        traceparent = spans.publishing(event.type, str(id_), event.key, str(correlation_id), traceparent)
    return *row, correlation_id, causation_id, traceparent or new_traceparent(id_.hex), now


def _deliveries(events: Sequence[Event], ids: Sequence[UUID], *, due_at: datetime, delayed: bool) -> Iterator[Row]:
    for event, id_ in zip(events, ids, strict=True):
        for subscriber in subscribers_of(type(event)):
            yield new_delivery(id_, subscriber.name, event.key, due_at=due_at, delayed=delayed)
