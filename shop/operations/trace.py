"""
The timeline of one order over all contexts: its states, its messages with their causes, and their deliveries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from inventory.models import Reservation
from messaging.contracts import event_types
from messaging.kernel.money import money
from messaging.kernel.order_numbers import InvalidNumber, mistake_in, parse_number
from messaging.kernel.tracing import trace_id_of
from messaging.models import Delivery, OutboxMessage
from messaging.sending import TRANSPORT
from notifications.models import Notification
from orders.models import Order
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent

from .audit.checks import retained_since
from .databases import all_aliases, home_of, subscribers_elsewhere

IN_TRANSIT = "in transit"
"""The status of a delivery to be: the broker has accepted its message, and no receiver has stored it."""


class UnknownOrder(LookupError):
    """
    No order has this number, id or idempotency key, or several customers used the key.
    """


@dataclass(frozen=True, kw_only=True)
class TracedDelivery:
    """
    One subscriber's delivery of a message, as it stands now.
    """

    subscriber: str
    status: str
    at: datetime
    """When it was delivered, or is due."""
    attempts: int
    latest_error: str


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """
    One change, or one message with its deliveries.
    """

    at: datetime
    context: str
    what: str
    because: str = ""
    """Messages: the type of the message whose delivery published this one."""
    trace_id: str = ""
    """Messages: the trace they belong to, which the log lines of their deliveries show."""
    deliveries: Sequence[TracedDelivery] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class OrderTrace:
    """
    An order with its timeline, sorted by time. The total is formatted for people, such as "12.50 GBP". Its trace id is
    the id of the request that placed it, or of the caller's trace.
    """

    order: UUID
    number: str
    idempotency_key: str
    status: str
    total: str
    trace_id: str
    timeline: Sequence[TimelineEntry]


def trace_order(reference: str) -> OrderTrace:
    """
    Return the timeline of the order with this number, however it is written, id or idempotency key (for an imported
    order, its invoice number).

    :raises UnknownOrder: if no order has it, or more than one.
    """
    order = _find(reference)
    sources = (_steps, _stock, _money, _webhooks, _refunds, _notifications, _messages)
    timeline = sorted((entry for source in sources for entry in source(order)), key=lambda entry: entry.at)
    return OrderTrace(
        order=order.pk,
        number=order.number,
        idempotency_key=order.idempotency_key,
        status=order.status,
        total=money(order.total, order.currency),
        trace_id=next((entry.trace_id for entry in timeline if entry.trace_id), ""),
        timeline=timeline,
    )


def _find(reference: str) -> Order:
    by_id = Order.objects.filter(Q(pk__in=_uuids(reference)) | Q(number__in=_numbers(reference)))
    orders = list(by_id or Order.objects.filter(idempotency_key=reference).order_by("pk"))
    if not orders:
        unknown = f"No order has the number, id or idempotency key {reference!r}."
        raise UnknownOrder(mistake_in(reference) or unknown)
    if len(orders) > 1:
        ids = ", ".join(str(order.pk) for order in orders[:5])
        raise UnknownOrder(f"{len(orders)} customers used the key {reference!r}; trace one of their orders: {ids}")
    return orders[0]


def _numbers(reference: str) -> list[str]:
    try:
        return [parse_number(reference)]
    except InvalidNumber:
        return []


def _uuids(reference: str) -> list[UUID]:
    try:
        return [UUID(reference)]
    except ValueError:
        return []


def _steps(order: Order) -> Iterator[TimelineEntry]:
    for step in order.history.order_by("id"):
        reason = f": {order.cancel_reason}" if step.status == Order.Status.CANCELLED else ""
        yield TimelineEntry(at=step.at, context="orders", what=f"{step.status}{reason}")


def _stock(order: Order) -> Iterator[TimelineEntry]:
    for reservation in Reservation.objects.filter(order_id=order.pk).prefetch_related("lines"):
        lines = ", ".join(str(line) for line in reservation.lines.all())
        if lines:
            yield TimelineEntry(at=reservation.created_at, context="inventory", what=f"stock held: {lines}")
        if reservation.ended_at:
            what = f"stock {reservation.status}" if lines else "no stock will be held"
            yield TimelineEntry(at=reservation.ended_at, context="inventory", what=what)


def _money(order: Order) -> Iterator[TimelineEntry]:
    for intent in PaymentIntent.objects.filter(order_id=order.pk):
        what = f"payment of {money(intent.amount, intent.currency)} opened, now {intent.status}"
        yield TimelineEntry(at=intent.created_at, context="payments", what=what)
        if intent.withdrawn_at:
            yield TimelineEntry(at=intent.withdrawn_at, context="payments", what="payment withdrawn")

    for capture in Capture.objects.filter(intent__order_id=order.pk):
        what = f"captured {money(capture.amount, capture.currency)}{', surplus' * capture.surplus}"
        yield TimelineEntry(at=capture.captured_at, context="payments", what=what)


def _webhooks(order: Order) -> Iterator[TimelineEntry]:
    keys = [str(key) for key in PaymentIntent.objects.filter(order_id=order.pk).values_list("pk", flat=True)]
    for webhook in WebhookEvent.objects.filter(Q(charge_key__in=keys) | Q(order_id=order.pk)):
        amount = money(webhook.amount, webhook.currency)
        what = f"webhook reports {amount} {webhook.outcome}, now {webhook.status}"
        yield TimelineEntry(at=webhook.received_at, context="payments", what=what)


def _refunds(order: Order) -> Iterator[TimelineEntry]:
    for refund in Refund.objects.filter(capture__intent__order_id=order.pk).select_related("capture"):
        amount = money(refund.amount, refund.capture.currency)
        yield TimelineEntry(
            at=refund.requested_at, context="payments", what=f"refund of {amount} requested: {refund.reason}"
        )
        if refund.settled_at:
            yield TimelineEntry(at=refund.settled_at, context="payments", what=f"refund of {amount} {refund.status}")


def _notifications(order: Order) -> Iterator[TimelineEntry]:
    for notification in Notification.objects.filter(order_id=order.pk).order_by("pk"):
        at = notification.accepted_at or notification.created_at
        yield TimelineEntry(at=at, context="notifications", what=str(notification))


def _messages(order: Order) -> Iterator[TimelineEntry]:
    notifications = Notification.objects.filter(order_id=order.pk).values_list("pk", flat=True)
    stored = _stored([str(order.pk), *map(str, notifications)])
    types: dict[UUID | None, str] = {message.pk: message.type for message in stored}
    for _, copies in groupby(stored, key=attrgetter("pk")):
        message, *received = copies
        yield TimelineEntry(
            at=message.published_at,
            context="messaging",
            what=message.type,
            because=types.get(message.causation_id) or str(message.causation_id or ""),
            trace_id=trace_id_of(message.traceparent),
            deliveries=list(_deliveries([message, *received])),
        )


def _stored(keys: Sequence[str]) -> list[OutboxMessage]:
    """
    Return the messages with these keys in order of publication, and each as often as databases have it: first as its
    publisher has it, then as it was received.
    """
    messages = OutboxMessage.objects.filter(key__in=keys).prefetch_related("deliveries__failures")
    stored = [message for alias in all_aliases() for message in messages.using(alias)]
    return sorted(stored, key=lambda each: (each.published_at, each.pk, each._state.db != home_of(each.type)))


def _deliveries(copies: Sequence[OutboxMessage]) -> Iterator[TracedDelivery]:
    """
    Return the deliveries of a message in all databases, and those that will be where it has not been received.
    """
    accepted_at = None
    for delivery in (delivery for message in copies for delivery in message.deliveries.all()):
        yield _traced(delivery)
        if delivery.subscriber == TRANSPORT:
            accepted_at = delivery.delivered_at
    event = event_types().get(copies[0].type)
    if not event or not accepted_at or copies[0].published_at < retained_since(timezone.now()):
        return
    stored_in = {message._state.db for message in copies}
    for subscriber, alias in subscribers_elsewhere(event):
        if alias not in stored_in:
            yield TracedDelivery(subscriber=subscriber, status=IN_TRANSIT, at=accepted_at, attempts=0, latest_error="")


def _traced(delivery: Delivery) -> TracedDelivery:
    failures = sorted(delivery.failures.all(), key=lambda failure: failure.number)
    return TracedDelivery(
        subscriber=delivery.subscriber,
        status=delivery.status,
        at=delivery.delivered_at or delivery.due_at,
        attempts=delivery.attempts,
        latest_error=f"{failures[-1].error_class}: {failures[-1].error}" if failures else "",
    )
