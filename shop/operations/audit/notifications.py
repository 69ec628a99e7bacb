"""
Notifications: every event has its own, once, and each is sent or on its way.
"""

from datetime import datetime

from django.db.models import Count, Q

from messaging.models import Delivery
from notifications.models import Notification

from .checks import ORDER_ID, Check, Finding

SENDERS = ("notifications.send_email", "notifications.send_sms")
ERASERS = ("notifications.erase_contact_data", "notifications.erase_preferences")

Status = Notification.Status


def every_event_has_its_notification(now: datetime) -> Finding:
    here = Delivery.objects.filter(subscriber__startswith="notifications.")
    notifiable = here.exclude(subscriber__in=(*SENDERS, *ERASERS))
    delivered = notifiable.filter(status=Delivery.Status.DELIVERED).values_list("message_id", flat=True)
    return Finding(notifiable.count(), delivered.difference(Notification.objects.values_list("message_id")))


def no_notification_is_repeated(now: datetime) -> Finding:
    copies = Notification.objects.values("message_id", "channel", "recipient").annotate(copies=Count("pk"))
    repeated = copies.filter(copies__gt=1).values_list("message_id", flat=True)
    return Finding(Notification.objects.count(), repeated)


def every_notification_is_sent(now: datetime) -> Finding:
    """
    Find notifications that are to be sent although no delivery sends them. A result that stayed unknown until the
    notification was useless, or its recipient on the suppression list, stays so.
    """
    undelivered = Delivery.objects.exclude(status=Delivery.Status.DELIVERED)
    on_their_way = undelivered.filter(subscriber__in=SENDERS).values_list(ORDER_ID)
    by_earlier_release = Q(message_id__in=undelivered.values("message_id"))
    has_ended = Q(useful_until__lte=now) | Q(reason=Notification.Reason.LISTED)
    stays_unknown = Q(status=Status.UNKNOWN) & has_ended
    unsent = Notification.objects.filter(status__in=Notification.UNSENT).exclude(by_earlier_release | stays_unknown)
    return Finding(Notification.objects.count(), unsent.values_list("pk", flat=True).difference(on_their_way))


MESSAGE = "messaging_outboxmessage"

CHECKS = [
    Check("N1", "every event that is notified has its notification", every_event_has_its_notification, MESSAGE),
    Check("N2", "one notification per message, channel and recipient", no_notification_is_repeated, MESSAGE),
    Check(
        "N3",
        "every notification is sent, suppressed, on its way or a dead letter",
        every_notification_is_sent,
        about="notifications_notification",
    ),
]
