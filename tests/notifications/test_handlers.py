from datetime import timedelta

import pytest
from django.core import mail
from django.db import transaction

from messaging.contracts import Event
from messaging.models import Delivery
from messaging.outbox import publish
from notifications.models import Notification
from tests.notifications.events import anomaly, cancelled, confirmed, due_soon, refunded
from tests.notifications.providers import PROVIDERS

pytestmark = pytest.mark.django_db


def published_delivery(event: Event) -> Delivery:
    with transaction.atomic():
        publish(event)
    return Delivery.objects.filter(subscriber__startswith="notifications.").latest("pk")


@pytest.mark.parametrize(
    ("event", "kind", "recipient", "customer_id"),
    [
        (confirmed(), "order_confirmed", "ada@example.com", "17"),
        (cancelled("expired"), "order_cancelled", "ada@example.com", "17"),
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
    delivery = published_delivery(confirmed())

    drain()

    delivery.refresh_from_db()
    assert (delivery.status, delivery.error_class) == ("pending", "PartlyUnavailable")
    assert (delivery.attempts, delivery.deferrals) == (0, 1)
    assert (Notification.objects.get().status, mail.outbox) == ("sending", [])
    settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"
    drain(after=timedelta(minutes=5))
    assert (Notification.objects.get().status, len(mail.outbox)) == ("accepted", 1)


def test_makes_a_dead_letter_of_a_refused_address_only(drain, settings):
    settings.EMAIL_BACKEND = f"{PROVIDERS}.RefusesBob"
    refused, accepted = published_delivery(confirmed(email="bob@example.com")), published_delivery(refunded())

    drain()

    refused.refresh_from_db()
    accepted.refresh_from_db()
    assert (refused.status, refused.error_class) == ("dead", "Permanent")
    assert accepted.status == "delivered"
