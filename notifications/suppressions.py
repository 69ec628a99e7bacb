"""
The suppression list: recipients to whom nothing more is sent, since messages to them bounce or they objected.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from messaging.kernel.databases import insert_new

from .models import Notification, Suppression


def folded(recipient: str) -> str:
    """
    Return a recipient as the list has it: addresses that differ in case only have one entry.
    """
    return recipient.casefold()


def listed_among(notifications: Collection[Notification]) -> list[Notification]:
    """
    Return those of these notifications whose recipients are listed, by one statement. Alerts of the operator are sent
    nevertheless: a missed alert is worse than another bounce.
    """
    for_customers = [each for each in notifications if each.kind not in Notification.FOR_OPERATOR]
    recipients = {folded(each.recipient) for each in for_customers}
    entries = Suppression.objects.filter(recipient__any=recipients).values_list("channel", "recipient")
    listed = set(entries) if recipients else set()
    return [each for each in for_customers if (each.channel, folded(each.recipient)) in listed]


def add(reasons: Mapping[Notification, str], *, now: datetime) -> None:
    """
    List the recipients of these notifications, each for its reason of `Suppression.Reason`. The first reason stays.
    Call it in the transaction that has locked the notifications, so that none of them is erased meanwhile.
    """
    entries = [
        Suppression(
            channel=notification.channel,
            recipient=folded(notification.recipient),
            reason=reason,
            created_at=now,
            notification=notification,
        )
        for notification, reason in reasons.items()
        if notification.recipient
    ]
    if entries:
        entries.sort(key=lambda entry: entry.recipient)  # so that no two transactions wait for each other
        insert_new(entries)
