"""
What the operator's desk shows of notifications: those of the last day that were not delivered.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from messaging.kernel.ids import lowest_id
from shop.http.desk import Concern, Item, count_each, list_url, reports

from .models import Notification

ADVICE: Mapping[str, str] = {
    Notification.Status.FAILED: "Read the provider's reply, remove the cause, then choose Send again.",
    Notification.Status.BOUNCED: "The address does not exist or refused the message: ask the customer for another.",
}


@reports("notifications.view_notification")
def show_notifications(now: datetime) -> Iterator[Item]:
    since = lowest_id(now - timedelta(days=1))
    counts = count_each(*(Notification.objects.filter(pk__gte=since, status=status) for status in ADVICE))
    for (status, advice), count in zip(ADVICE.items(), counts, strict=True):
        if count:
            yield Concern(
                title=f"Messages of the last day that {status}",
                count=count,
                url=list_url("notifications_notification", status__exact=status, id__gte=since),
                permission="notifications.view_notification",
                advice=advice,
            )
