"""
Mails of notifications, queued and sent without a worker.
"""

from messaging.subscribers import NotReady, PartlyUnavailable
from notifications import sending
from notifications.models import Notification
from tests.notifications.events import NOON, confirmed, queue


def queue_to(*recipients: str) -> list[str]:
    """
    Queue a mail to each of them, and return the ids of the notifications.
    """
    queue(*[confirmed(email=recipient) for recipient in recipients])
    return [str(pk) for pk in Notification.objects.order_by("pk").values_list("pk", flat=True)]


def send(ids: list[str]) -> str:
    """
    Send, and return the name of the error that the relay gets, with the number of its keys.
    """
    try:
        sending.send(ids, channel=Notification.Channel.EMAIL, now=NOON)
    except (NotReady, PartlyUnavailable) as error:
        return f"{type(error).__name__} {len(error.keys)}{' with an address' * ('@' in str(error))}"
    return ""
