"""
Which notifications are useless by now: their time has passed, or they remind of a payment of an order that has ended.
"""

from collections.abc import Collection
from datetime import datetime

from .models import Notification

Kind = Notification.Kind

ENDS_OF_ORDERS = (
    Kind.ORDER_CONFIRMED,
    Kind.OUT_OF_STOCK,
    Kind.PAYMENT_FAILED,
    Kind.ORDER_EXPIRED,
    Kind.ORDER_CANCELLED,
)


def late_among(notifications: Collection[Notification], *, now: datetime) -> list[Notification]:
    """
    Return those of these notifications that are useless by now, by at most one statement.
    """
    reminders = [each for each in notifications if each.kind == Kind.PAYMENT_DUE_SOON]
    orders = [reminder.order_id for reminder in reminders]
    ends = Notification.objects.filter(order_id__in=orders, kind__in=ENDS_OF_ORDERS)
    ended = set(ends.values_list("order_id", flat=True)) if orders else set()
    has_ended = {reminder.pk for reminder in reminders if reminder.order_id in ended}
    return [each for each in notifications if each.pk in has_ended or (each.useful_until and each.useful_until <= now)]
