"""
What spans contexts on the page of an order: its messages with their deliveries, of which operators may replay the dead
ones, and what operators did.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.utils import timezone

from messaging import dead_letters
from messaging.contracts import event_types
from messaging.dead_letters import advice_for
from messaging.kernel.admin import to_the_second
from messaging.kernel.tracing import trace_id_of
from messaging.models import Delivery, OutboxMessage
from messaging.sending import TRANSPORT
from notifications.models import Notification
from shop.http import order_panels
from shop.http.order_panels import Link, NotPossible, OrderAction, Panel, Part, TimelineEntry, TracedDelivery

from .audit.checks import retained_since
from .databases import all_aliases, home_of, subscribers_elsewhere

IN_TRANSIT = "in transit"
"""The status of a delivery to be: the broker has accepted its message, and no receiver has stored it."""

NOTED = "Added a note."
"""The log's entry about a note, which the timeline shows itself."""


def register() -> None:
    order_panels.register("messaging", read_messages, permission="messaging.view_delivery")
    order_panels.register("operators", read_log, permission="orders.view_order")
    order_panels.register_action(ReplayDeadLetters)


def read_messages(order_id: UUID, rows: Sequence[Model]) -> Part:
    """
    Return the messages about an order and about the rows that contexts have of it.
    """
    messages = _stored([str(order_id), *(str(row.pk) for row in rows if isinstance(row, Notification))])
    deliveries = [delivery for message in messages for delivery in message.deliveries.all()]
    is_dead = any(delivery.status == Delivery.Status.DEAD for delivery in deliveries)
    return Part(
        panels=[_panel(messages, deliveries)],
        entries=list(_entries(messages)),
        rows=deliveries,
        actions=["replay"] if is_dead else [],
    )


def read_log(order_id: UUID, rows: Sequence[Model]) -> Part:
    """
    Return what the admin's logs have about these rows, in the databases of all services.
    """
    about = {(row._meta.app_label, row._meta.model_name, str(row.pk)) for row in rows}
    ids = {object_id for *_, object_id in about}
    found = LogEntry.objects.filter(object_id__in=ids).select_related("user", "content_type")
    entries = [entry for alias in all_aliases() for entry in found.using(alias)]
    return Part(entries=[_logged(entry) for entry in entries if _subject(entry) in about and _tells(entry)])


class ReplayDeadLetters(OrderAction):
    name, label, permission = "replay", "Replay dead letters", "messaging.change_delivery"

    def consequences(self) -> Sequence[str]:
        dead = list(self._dead().select_related("message").order_by("id"))
        if not dead:
            raise NotPossible("This order has no dead letters.")
        failed = [f"{each.subscriber} gets {each.message.type} again: {each.error_class}." for each in dead]
        advice = {each.error_class: advice_for(each.error_class) for each in dead}
        return [
            *failed,
            *(f"{error_class or 'No error'}: {text}" for error_class, text in advice.items()),
            "They are due at once, with all their attempts. If nothing has changed, they die again.",
        ]

    def perform(self, *, by: str, now: datetime) -> str:
        resolution = dead_letters.replay(self._dead(), by=by, now=now, chosen=f"order {self.order_id}")
        if not resolution.letters:
            raise NotPossible("This order has no dead letters any more.")
        return f"Replayed {resolution.letters} dead letter{'s' * (resolution.letters > 1)}."

    def _dead(self) -> Any:
        notifications = Notification.objects.filter(order_id=self.order_id).values_list("pk", flat=True)
        keys = [str(self.order_id), *map(str, notifications)]
        return Delivery.objects.dead().filter(message__key__in=keys)


def _panel(messages: Sequence[OutboxMessage], deliveries: Sequence[Delivery]) -> Panel:
    undelivered = [delivery for delivery in deliveries if delivery.status != Delivery.Status.DELIVERED]
    dead = sum(delivery.status == Delivery.Status.DEAD for delivery in deliveries)
    return Panel(
        title="Deliveries",
        facts=[
            ("Messages", len({message.pk for message in messages})),
            ("Delivered", len(deliveries) - len(undelivered)),
            ("Dead", dead or ""),
        ],
        columns=["Not delivered", "Status", "Due", "Attempts", "Error"] if undelivered else [],
        rows=[_row(delivery) for delivery in undelivered[: order_panels.SHOWN_ROWS]],
    )


def _row(delivery: Delivery) -> tuple[object, ...]:
    due = to_the_second(delivery.due_at) if delivery.status == Delivery.Status.PENDING else ""
    page = Link(delivery.subscriber, "admin:messaging_delivery_change", delivery.pk)
    return page, delivery.status, due, delivery.attempts, _latest_error(delivery)


def _stored(keys: Sequence[str]) -> list[OutboxMessage]:
    """
    Return the messages with these keys in order of publication, and each as often as databases have it: first as its
    publisher has it, then as it was received.
    """
    messages = OutboxMessage.objects.filter(key__in=keys).prefetch_related("deliveries__failures")
    stored = [message for alias in all_aliases() for message in messages.using(alias)]
    return sorted(stored, key=lambda each: (each.published_at, each.pk, each._state.db != home_of(each.type)))


def _entries(messages: Sequence[OutboxMessage]) -> Iterator[TimelineEntry]:
    types: dict[UUID | None, str] = {message.pk: message.type for message in messages}
    for _, copies in groupby(messages, key=attrgetter("pk")):
        message, *received = copies
        yield TimelineEntry(
            at=message.published_at,
            context="messaging",
            what=message.type,
            because=types.get(message.causation_id) or str(message.causation_id or ""),
            trace_id=trace_id_of(message.traceparent),
            deliveries=list(_deliveries([message, *received])),
        )


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
    return TracedDelivery(
        subscriber=delivery.subscriber,
        status=delivery.status,
        at=delivery.delivered_at or delivery.due_at,
        attempts=delivery.attempts,
        latest_error=_latest_error(delivery),
    )


def _latest_error(delivery: Delivery) -> str:
    failures = sorted(delivery.failures.all(), key=lambda failure: failure.number)
    return f"{failures[-1].error_class}: {failures[-1].error}" if failures else ""


def _subject(entry: LogEntry) -> tuple[str, str, str]:
    about = entry.content_type
    return (about.app_label, about.model, entry.object_id or "") if about else ("", "", "")


def _tells(entry: LogEntry) -> bool:
    return entry.get_change_message() != NOTED


def _logged(entry: LogEntry) -> TimelineEntry:
    what = f"{entry.user.get_username()}: {entry.get_change_message()}"
    return TimelineEntry(at=entry.action_time, context="operators", what=what)
