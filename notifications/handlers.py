"""
Subscribers of notifications: events about which customers and operators are told, and the sending of what is queued.
"""

from collections.abc import Sequence
from uuid import UUID

from django.utils import timezone

from messaging import erasure as messages
from messaging.backoff import most_deferrals_within
from messaging.contracts import (
    ContactDataErased,
    CustomerErased,
    DeliveryDied,
    EmailQueued,
    OrderCancelled,
    OrderConfirmed,
    OrderPlaced,
    PasswordChanged,
    PasswordResetRequested,
    PaymentAnomalyFound,
    PaymentDueSoon,
    PaymentRefunded,
    SignUpRepeated,
    SignUpRequested,
    SmsQueued,
)
from messaging.outbox import message_of
from messaging.subscribers import subscriber

from . import erasure, sending, services
from .models import Notification

Channel = Notification.Channel

MAX_DEFERRALS = most_deferrals_within(services.USEFUL_FOR)
"""A notification that is deferred ends when it is useless, not as a dead letter."""


@subscriber(OrderPlaced)
def acknowledge_order(events: Sequence[OrderPlaced]) -> None:
    _queue(events)


@subscriber(OrderConfirmed)
def send_confirmation(events: Sequence[OrderConfirmed]) -> None:
    _queue(events)


@subscriber(OrderCancelled)
def send_cancellation(events: Sequence[OrderCancelled]) -> None:
    _queue(events)


@subscriber(PaymentDueSoon)
def send_reminder(events: Sequence[PaymentDueSoon]) -> None:
    _queue(events)


@subscriber(PaymentRefunded)
def send_refund_notice(events: Sequence[PaymentRefunded]) -> None:
    _queue(events)


@subscriber(PasswordResetRequested)
def send_reset_link(events: Sequence[PasswordResetRequested]) -> None:
    _queue(events)


@subscriber(PasswordChanged)
def confirm_password_change(events: Sequence[PasswordChanged]) -> None:
    _queue(events)


@subscriber(SignUpRequested)
def send_sign_up_link(events: Sequence[SignUpRequested]) -> None:
    _queue(events)


@subscriber(SignUpRepeated)
def remind_of_account(events: Sequence[SignUpRepeated]) -> None:
    _queue(events)


@subscriber(PaymentAnomalyFound)
def alert_operator(events: Sequence[PaymentAnomalyFound]) -> None:
    _queue(events)


@subscriber(DeliveryDied)
def alert_of_dead_letter(events: Sequence[DeliveryDied]) -> None:
    _queue(events)


@subscriber(ContactDataErased)
def erase_contact_data(events: Sequence[ContactDataErased]) -> None:
    order_ids = [UUID(event.order_id) for event in events]
    messages.erase_named([event.order_id for event in events])
    messages.erase(erasure.message_keys(order_ids), erasure.addresses_of(order_ids))
    erasure.erase(order_ids)


@subscriber(CustomerErased)
def erase_preferences(events: Sequence[CustomerErased]) -> None:
    customer_ids = [event.customer_id for event in events]
    sign_ups = [UUID(sign_up) for event in events for sign_up in event.sign_ups]
    messages.erase_named(erasure.account_message_keys(customer_ids, sign_ups))
    erasure.erase_texts(erasure.about_account(customer_ids, sign_ups))
    erasure.preferences_of(customer_ids).delete()


@subscriber(EmailQueued, transactional=False, max_deferrals=MAX_DEFERRALS)
def send_email(events: Sequence[EmailQueued]) -> None:
    sending.send([event.notification_id for event in events], channel=Channel.EMAIL, now=timezone.now())


@subscriber(SmsQueued, transactional=False, max_deferrals=MAX_DEFERRALS)
def send_sms(events: Sequence[SmsQueued]) -> None:
    sending.send([event.notification_id for event in events], channel=Channel.SMS, now=timezone.now())


def _queue(events: Sequence[services.Notifiable]) -> None:
    services.queue({message_of(event).message_id: event for event in events}, now=timezone.now())
