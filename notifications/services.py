"""
Mail to customers and operators, once per event.

A notification is stored before the provider is called, and marked as accepted afterwards. If the worker dies in
between, the mail is sent again: a mail may be repeated, but is never lost.
"""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from smtplib import SMTPRecipientsRefused
from uuid import UUID

from anymail.exceptions import AnymailError, AnymailInvalidAddress, AnymailRecipientsRefused
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

from messaging.contracts import (
    OrderCancelled,
    OrderConfirmed,
    PaymentAnomalyFound,
    PaymentDueSoon,
    PaymentRefunded,
)
from messaging.outbox import context_of
from messaging.subscribers import PartlyUnavailable, Permanent, Unavailable

from .models import Notification

logger = logging.getLogger(__name__)

Notifiable = OrderConfirmed | OrderCancelled | PaymentDueSoon | PaymentRefunded | PaymentAnomalyFound

Kind, Status = Notification.Kind, Notification.Status

KINDS = {
    OrderConfirmed: Kind.ORDER_CONFIRMED,
    OrderCancelled: Kind.ORDER_CANCELLED,
    PaymentDueSoon: Kind.PAYMENT_DUE_SOON,
    PaymentRefunded: Kind.PAYMENT_REFUNDED,
    PaymentAnomalyFound: Kind.PAYMENT_ANOMALY,
}


def notify(events: Mapping[UUID, Notifiable], *, now: datetime) -> None:
    """
    Send a mail about each event to its customer or to the operator. Call it outside a transaction; it may be called
    again for the same event.

    :param events: by message id.
    :raises PartlyUnavailable: if the provider did not accept one of them; the others are sent.
    :raises Permanent: if the provider rejected one of the addresses; the others are sent.
    """
    unsent = _record(events, now)
    with ThreadPoolExecutor(settings.MESSAGING.outside_calls_at_once) as pool:
        contexts = [context_of(str(notification.order_id)) for notification in unsent]
        failures = pool.map(lambda context, notification: context.run(_send, notification), contexts, unsent)
        outcomes = list(zip(unsent, failures, strict=True))
    accepted = [notification.pk for notification, failure in outcomes if failure is None]
    Notification.objects.filter(pk__any=accepted).update(status=Status.ACCEPTED, accepted_at=now)
    _report({str(notification.order_id): failure for notification, failure in outcomes if failure})


@transaction.atomic
def _record(events: Mapping[UUID, Notifiable], now: datetime) -> list[Notification]:
    """
    Store the notifications of these events, and return those to send.
    """
    ended = _ended_orders(events.values())
    notifications = [_notification(message_id, event, now) for message_id, event in events.items()]
    for notification in notifications:
        late = notification.kind == Kind.PAYMENT_DUE_SOON and notification.order_id in ended
        if late or not notification.recipient:
            notification.status = Status.SUPPRESSED
    Notification.objects.bulk_create(notifications, ignore_conflicts=True)
    return list(Notification.objects.filter(message_id__any=events, status=Status.SENDING))


def _ended_orders(events: Iterable[Notifiable]) -> set[UUID]:
    """
    Return the orders whose customers were notified of the order's end and need no reminder.
    """
    reminded = [event.order_id for event in events if isinstance(event, PaymentDueSoon)]
    ended = Notification.objects.filter(order_id__in=reminded, kind__in=[Kind.ORDER_CONFIRMED, Kind.ORDER_CANCELLED])
    return set(ended.values_list("order_id", flat=True)) if reminded else set()


def _notification(message_id: UUID, event: Notifiable, now: datetime) -> Notification:
    kind = KINDS[type(event)]
    text = render_to_string(f"notifications/{kind}.txt", {"event": event, "shop": settings.SHOP.name})
    subject, _, body = text.partition("\n")
    return Notification(
        message_id=message_id,
        order_id=UUID(event.order_id),
        customer_id="" if isinstance(event, PaymentAnomalyFound) else event.customer_id,
        kind=kind,
        recipient=settings.SHOP.operator_email if isinstance(event, PaymentAnomalyFound) else event.email,
        subject=subject,
        body=body.strip() + "\n",
        created_at=now,
    )


def _report(failures: Mapping[str, Exception]) -> None:
    """
    Raise what the relay has to know of mails that were not sent.

    :param failures: by order id.
    :raises Exception: the first failure other than an outage.
    :raises PartlyUnavailable: if all of them are outages.
    """
    for failure in failures.values():
        if not isinstance(failure, Unavailable):
            raise failure
    if failures:
        raise PartlyUnavailable(str(next(iter(failures.values()))), keys=failures)


def _send(notification: Notification) -> Exception | None:
    """
    Send one mail, and return the failure, if there is one.
    """
    try:
        EmailMessage(subject=notification.subject, body=notification.body, to=[notification.recipient]).send()
    except (AnymailInvalidAddress, AnymailRecipientsRefused, SMTPRecipientsRefused) as error:
        return Permanent(f"The provider rejected {notification.recipient}: {error}")
    except (AnymailError, OSError) as error:
        return Unavailable(f"The provider did not accept the mail: {error}")
    except Exception as error:  # noqa: BLE001  (one failure must not make the other mails look unsent)
        return error
    logger.info("The provider accepted the mail %s of order %s.", notification.kind, notification.order_id)
    return None
