from datetime import timedelta

import pytest
from django.core import mail
from django.db import transaction
from django.utils import timezone

from messaging.backoff import most_deferrals_within
from messaging.contracts import Event
from messaging.models import Delivery
from messaging.outbox import publish
from notifications.models import Notification
from tests.notifications.events import anomaly, cancelled, confirmed, due_soon, placed, refunded
from tests.notifications.providers import PROVIDERS

pytestmark = pytest.mark.django_db


def published_delivery(event: Event) -> Delivery:
    """
    Publish an event to notifications alone: other contexts know no such order.
    """
    with transaction.atomic():
        publish(event)
    Delivery.objects.exclude(subscriber__startswith="notifications.").delete()
    return Delivery.objects.latest("pk")


def delivery_to(recipient: str) -> Delivery:
    """
    Return the delivery by which the mail to this recipient is sent.
    """
    notification = Notification.objects.get(recipient=recipient)
    return Delivery.objects.get(subscriber="notifications.send_email", key=str(notification.pk))


@pytest.mark.parametrize(
    ("event", "kind", "recipient", "customer_id"),
    [
        (confirmed(), "order_confirmed", "ada@example.com", "17"),
        (placed(), "order_received", "ada@example.com", "17"),
        (cancelled("expired"), "order_expired", "ada@example.com", "17"),
        (due_soon(), "payment_due_soon", "ada@example.com", "17"),
        (refunded(), "payment_refunded", "ada@example.com", "17"),
        (anomaly("paid_twice"), "payment_anomaly", "olga@example.com", ""),
    ],
)
def test_sends_one_mail(drain, event, kind, recipient, customer_id):
    delivery = published_delivery(event)

    drain()

    assert Notification.objects.values("message_id", "kind", "status", "recipient", "customer_id").get() == {
        "message_id": delivery.message_id,
        "kind": kind,
        "status": "accepted",
        "recipient": recipient,
        "customer_id": customer_id,
    }
    assert [message.to for message in mail.outbox] == [[recipient]]


def test_defers_without_counting_an_attempt_while_the_provider_is_down(drain, settings):
    settings.EMAIL_BACKEND = f"{PROVIDERS}.Down"
    published_delivery(confirmed())

    drain()

    delivery = delivery_to("ada@example.com")
    assert (delivery.status, delivery.error_class) == ("pending", "PartlyUnavailable")
    assert (delivery.attempts, delivery.deferrals) == (0, 1)
    assert (Notification.objects.get().status, mail.outbox) == ("sending", [])
    settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"
    drain(after=timedelta(minutes=5))
    assert (Notification.objects.get().status, len(mail.outbox)) == ("accepted", 1)


def test_ends_a_notification_that_stays_deferred_when_it_is_useless_and_not_as_a_dead_letter(drain, settings):
    settings.EMAIL_BACKEND = f"{PROVIDERS}.Down"
    published_delivery(confirmed())
    drain()
    Delivery.objects.update(deferrals=most_deferrals_within(timedelta(hours=72)) - 1)

    drain(after=timedelta(minutes=5))
    assert delivery_to("ada@example.com").status == "pending"
    Notification.objects.update(useful_until=timezone.now())
    drain(after=timedelta(minutes=10))

    assert Notification.objects.values_list("status", "reason").get() == ("failed", "too_late")
    assert delivery_to("ada@example.com").status == "delivered"


def test_makes_no_dead_letter_of_a_refused_address(drain, settings):
    settings.EMAIL_BACKEND = f"{PROVIDERS}.RefusesBob"
    published_delivery(confirmed(email="bob@example.com"))
    published_delivery(refunded())

    drain()

    assert dict(Notification.objects.values_list("recipient", "status")) == {
        "ada@example.com": "accepted",
        "bob@example.com": "bounced",
    }
    assert not Delivery.objects.exclude(status="delivered").exists()
