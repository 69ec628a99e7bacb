"""
What notifications tells operators of an order: its messages to the customer, which they may send again.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Model

from messaging.kernel.admin import to_the_second
from shop.http import order_panels
from shop.http.order_panels import Link, NotPossible, OrderAction, Panel, Part, TimelineEntry

from . import services
from .models import Notification, Suppression
from .suppressions import folded

MOST_READ = 1_000
"""So many of a customer's newest messages tell to which addresses they went."""

REPEATABLE = Notification.SENT | {
    Notification.Status.FAILED,
    Notification.Status.SUPPRESSED,
    Notification.Status.UNKNOWN,
}


def register() -> None:
    order_panels.register("notifications", read, permission="notifications.view_notification")
    order_panels.register_customer("notifications", read_customer, permission="notifications.view_suppression")
    order_panels.register_action(SendAgain)
    order_panels.register_finder("notifications", find)


def read(order_id: UUID, rows: Sequence[Model]) -> Part:
    notifications = list(_notifications(order_id))
    to_customer = [each for each in notifications if each.kind not in Notification.FOR_OPERATOR]
    return Part(
        panels=[_panel(to_customer[-order_panels.SHOWN_ROWS :])],
        entries=[_entry(notification) for notification in notifications],
        rows=notifications,
        actions=["send-again"] if any(map(_is_repeatable, to_customer)) else [],
    )


def read_customer(customer_id: str) -> Sequence[Panel]:
    """
    Return those addresses and numbers of a customer's newest messages that are on the suppression list.
    """
    newest = Notification.objects.filter(customer_id=customer_id).order_by("-id").values_list("recipient", flat=True)
    recipients = {folded(recipient) for recipient in newest[:MOST_READ]}
    rows = [
        (Link(entry.recipient, "admin:notifications_suppression_change", entry.pk), entry.channel, entry.reason)
        for entry in Suppression.objects.filter(recipient__any=recipients)
    ]
    return [Panel(title="Suppressed addresses", columns=["Recipient", "Channel", "Reason"], rows=rows)] if rows else []


def find(term: str, limit: int) -> Iterable[UUID]:
    """
    Return the ids of orders whose notification has this id of the mail or SMS provider.
    """
    notifications = Notification.objects.exclude(provider_id="").filter(provider_id=term, order_id__isnull=False)
    return [order_id for order_id in notifications.values_list("order_id", flat=True)[:limit] if order_id]


class SendAgain(OrderAction):
    name, label, permission = "send-again", "Send a message again", "notifications.change_notification"

    notification = forms.ChoiceField(label="Message")

    def __init__(self, order_id: UUID, data: Any = None) -> None:
        super().__init__(order_id, data)
        sent = [each for each in _notifications(order_id) if each.kind not in Notification.FOR_OPERATOR]
        latest_first = [each for each in reversed(sent) if _is_repeatable(each)]
        failed_first = sorted(latest_first, key=lambda each: each.status != Notification.Status.FAILED)
        self.choices = [(str(each.pk), _described(each)) for each in failed_first]
        self.fields["notification"].choices = self.choices  # type: ignore[attr-defined]  # the field is a choice
        self.fields["notification"].initial = next((pk for pk, _ in self.choices), None)

    def consequences(self) -> Sequence[str]:
        if not self.choices:
            raise NotPossible("This order has no message that could be sent again.")
        return [
            "The message is sent again with the same text, in the language in which it was written.",
            "Who got it before gets it twice. Recipients on the suppression list get nothing.",
        ]

    def perform(self, *, by: str, now: datetime) -> str:
        notification = UUID(self.cleaned_data["notification"])
        resent = services.resend([notification], repeats=True, now=now)
        if resent.listed:
            raise NotPossible("Not sent: the suppression list has its recipient. Lift that entry first.")
        if not resent.queued:
            raise NotPossible("Not sent: it is on its way already.")
        return f"Queued again: {resent.queued[0].channel} {resent.queued[0].kind}."


def _notifications(order_id: UUID) -> Iterable[Notification]:
    return Notification.objects.filter(order_id=order_id).defer("html").order_by("pk")


def _is_repeatable(notification: Notification) -> bool:
    return bool(notification.status in REPEATABLE and notification.recipient and notification.body)


def _described(notification: Notification) -> str:
    at = to_the_second(notification.accepted_at or notification.created_at)
    return f"{notification.channel} {notification.kind} to {notification.recipient}, {notification.status} at {at}"


def _panel(notifications: Sequence[Notification]) -> Panel:
    if not notifications:
        return Panel(title="Messages to the customer", facts=[("Sent", "none yet")])
    return Panel(
        title="Messages to the customer",
        columns=["Kind", "Status", "To", "At", "Attempts", "Error"],
        rows=[_row(notification) for notification in notifications],
    )


def _row(notification: Notification) -> tuple[object, ...]:
    status = f"{notification.status}: {notification.reason}" if notification.reason else notification.status
    return (
        Link(notification.kind, "admin:notifications_notification_change", notification.pk),
        status,
        notification.recipient,
        to_the_second(notification.accepted_at or notification.ended_at or notification.created_at),
        notification.attempts,
        notification.error,
    )


def _entry(notification: Notification) -> TimelineEntry:
    what = str(notification)
    if notification.error:
        what += f" after {notification.attempts} attempts ({notification.error})"
    elif notification.reason:
        what += f": {notification.reason}"
    at = notification.accepted_at or notification.ended_at or notification.created_at
    return TimelineEntry(at=at, context="notifications", what=what)
