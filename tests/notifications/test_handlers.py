from dataclasses import replace
from datetime import timedelta

import pytest
from django.core import mail
from django.db import transaction

from messaging.models import Delivery
from messaging.outbox import publish
from notifications.models import Notification
from tests.notifications.test_services import PROVIDERS, anomaly, cancelled, confirmed, due_soon, refunded

pytestmark = pytest.mark.django_db

EVENTS = [confirmed(), cancelled("expired"), due_soon(), refunded()]


def announce(event) -> Delivery:
    with transaction.atomic():
        publish(event)
    return Delivery.objects.filter(subscriber__startswith="notifications.").latest("pk")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_tells_the_customer_of(event, drain):
    announced = announce(event)

    drain()

    told = Notification.objects.get()
    assert (told.message_id, told.kind, told.status) == (announced.message_id, event.type.split(".")[1], "accepted")
    assert told.customer_id == "17"
    assert len(mail.outbox) == 1


def test_tells_the_operator_of_a_payment_that_is_not_as_it_should_be(drain, settings):
    settings.SHOP = replace(settings.SHOP, operator_email="olga@example.com")
    announced = announce(anomaly("paid_twice"))

    drain()

    told = Notification.objects.get()
    assert (told.message_id, told.kind, told.status) == (announced.message_id, "payment_anomaly", "accepted")
    assert (told.recipient, told.customer_id) == ("olga@example.com", "")
    assert [sent.to for sent in mail.outbox] == [["olga@example.com"]]


def test_waits_for_a_provider_that_is_down_without_using_up_attempts(drain, settings):
    settings.EMAIL_BACKEND = f"{PROVIDERS}.Down"
    delivery = announce(confirmed())

    drain()

    delivery.refresh_from_db()
    assert (delivery.status, delivery.error_class, delivery.attempts, delivery.deferrals) == (
        "pending",
        "PartlyUnavailable",
        0,
        1,
    )
    settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"
    drain(after=timedelta(minutes=5))
    assert Notification.objects.get().status == "accepted"


def test_leaves_a_refused_address_to_a_person(drain, settings):
    settings.EMAIL_BACKEND = f"{PROVIDERS}.RefusesBob"
    refused, told = announce(confirmed(email="bob@example.com")), announce(refunded())

    drain()

    refused.refresh_from_db()
    told.refresh_from_db()
    assert (refused.status, refused.error_class) == ("dead", "Permanent")
    assert told.status == "delivered"
