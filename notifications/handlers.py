"""
Subscribers of notifications: mails to customers and operators.
"""

from collections.abc import Sequence

from django.utils import timezone

from messaging.contracts import (
    OrderCancelled,
    OrderConfirmed,
    PaymentAnomalyFound,
    PaymentDueSoon,
    PaymentRefunded,
)
from messaging.outbox import message_of
from messaging.subscribers import subscriber

from . import services


@subscriber(OrderConfirmed, transactional=False)
def send_confirmation(events: Sequence[OrderConfirmed]) -> None:
    _notify(events)


@subscriber(OrderCancelled, transactional=False)
def send_cancellation(events: Sequence[OrderCancelled]) -> None:
    _notify(events)


@subscriber(PaymentDueSoon, transactional=False)
def send_reminder(events: Sequence[PaymentDueSoon]) -> None:
    _notify(events)


@subscriber(PaymentRefunded, transactional=False)
def send_refund_notice(events: Sequence[PaymentRefunded]) -> None:
    _notify(events)


@subscriber(PaymentAnomalyFound, transactional=False)
def alert_operator(events: Sequence[PaymentAnomalyFound]) -> None:
    _notify(events)


def _notify(events: Sequence[services.Notifiable]) -> None:
    services.notify({message_of(event).message_id: event for event in events}, now=timezone.now())
