"""
Notifications: every customer told, and told once.
"""

from datetime import datetime

from django.db.models import Count

from messaging.models import Delivery
from notifications.models import Notification

from .checks import Check, Finding


def everyone_is_told(now: datetime) -> Finding:
    notifiable = Delivery.objects.filter(subscriber__startswith="notifications.")
    delivered = notifiable.filter(status=Delivery.Status.DELIVERED).values_list("message_id", flat=True)
    told = Notification.objects.exclude(status=Notification.Status.SENDING).values_list("message_id")
    return Finding(notifiable.count(), delivered.difference(told))


def nobody_is_told_twice(now: datetime) -> Finding:
    tellings = Notification.objects.values("message_id", "channel", "recipient").annotate(tellings=Count("pk"))
    repeated = tellings.filter(tellings__gt=1).values_list("message_id", flat=True)
    return Finding(Notification.objects.count(), repeated)


CHECKS = [
    Check("N1", "what was to be told was accepted or suppressed, or is a dead letter", everyone_is_told),
    Check("N2", "one notification per message, channel and recipient", nobody_is_told_twice),
]
