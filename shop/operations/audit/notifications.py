"""
Notifications: every notification is sent, once.
"""

from datetime import datetime

from django.db.models import Count

from messaging.models import Delivery
from notifications.models import Notification

from .checks import Check, Finding


def every_notification_is_sent(now: datetime) -> Finding:
    notifiable = Delivery.objects.filter(subscriber__startswith="notifications.")
    delivered = notifiable.filter(status=Delivery.Status.DELIVERED).values_list("message_id", flat=True)
    sent = Notification.objects.exclude(status=Notification.Status.SENDING).values_list("message_id")
    return Finding(notifiable.count(), delivered.difference(sent))


def no_notification_is_repeated(now: datetime) -> Finding:
    copies = Notification.objects.values("message_id", "channel", "recipient").annotate(copies=Count("pk"))
    repeated = copies.filter(copies__gt=1).values_list("message_id", flat=True)
    return Finding(Notification.objects.count(), repeated)


CHECKS = [
    Check("N1", "every notification was accepted or suppressed, or is a dead letter", every_notification_is_sent),
    Check("N2", "one notification per message, channel and recipient", no_notification_is_repeated),
]
