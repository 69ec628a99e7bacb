"""
Messages to a customer, sent again from the page of the order in the admin.
"""

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail

from notifications import suppressions
from notifications.models import Notification
from orders.finding import find_orders
from orders.models import Order
from tests.factories import make_stock, place_order
from tests.operators import page

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(drain) -> Order:
    make_stock()
    order = place_order()
    drain()
    return order


def send_again(client, order: Order, notification: object) -> str:
    form = {"notification": str(notification)}
    return client.post(page(Order, "do", order.pk, "send-again"), form, follow=True).content.decode()


def test_sends_the_chosen_message_again_and_logs_who_did(admin_client, order, drain):
    confirmation = Notification.objects.get(kind="order_confirmed")
    before = len(mail.outbox)

    html = send_again(admin_client, order, confirmation.pk)
    drain()

    assert "Queued again: email order_confirmed." in html
    assert [message.subject for message in mail.outbox[before:]] == [confirmation.subject]
    assert LogEntry.objects.values_list("user__username", "object_id").get() == ("admin", str(order.pk))


def test_tells_that_the_recipient_is_on_the_suppression_list(admin_client, order, drain):
    confirmation = Notification.objects.get(kind="order_confirmed")
    suppressions.add({confirmation: "bounced"}, now=confirmation.created_at)

    assert "the suppression list has its recipient" in send_again(admin_client, order, confirmation.pk)
    assert Notification.objects.get(pk=confirmation.pk).status == "accepted"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("notification", ["", "x", "00000000-0000-7000-8000-000000000000", "\0"])
def test_rejects_what_is_no_message_of_the_order(admin_client, order, notification):
    assert "errorlist" in send_again(admin_client, order, notification)
    assert not LogEntry.objects.exists()


def test_finds_the_order_of_a_message_by_the_id_of_its_provider(order):
    Notification.objects.filter(kind="order_confirmed").update(provider_id="SM0123")

    assert find_orders("SM0123") == [order.pk]
