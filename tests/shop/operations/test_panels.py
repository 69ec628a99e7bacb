"""
Dead letters of one order, replayed from its page in the admin.
"""

import pytest
from django.contrib.admin.models import LogEntry

from messaging.models import Delivery
from orders.models import Order
from tests.factories import make_stock, place_order
from tests.operators import page

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(drain) -> Order:
    make_stock()
    order, _ = place_order(), place_order()
    drain()
    return order


def kill(subscriber: str) -> None:
    Delivery.objects.filter(subscriber=subscriber).update(status="dead", delivered_at=None, error_class="KeyError")


def test_replays_the_dead_letters_of_the_order_only(admin_client, order, drain):
    kill("notifications.send_confirmation")
    kill("notifications.send_email")
    url = page(Order, "do", order.pk, "replay")

    shown = admin_client.get(url).content.decode()
    html = admin_client.post(url, follow=True).content.decode()

    assert "notifications.send_confirmation gets orders.order_confirmed again: KeyError." in shown
    assert "Replayed 3 dead letters." in html  # two mails and a confirmation
    assert Delivery.objects.filter(status="dead").count() == 3
    assert LogEntry.objects.values_list("user__username", "object_id", "change_message").get() == (
        "admin",
        str(order.pk),
        "Replayed 3 dead letters.",
    )


def test_is_refused_without_dead_letters(admin_client, order):
    response = admin_client.post(page(Order, "do", order.pk, "replay"))

    assert "This order has no dead letters." in response.content.decode()


def test_shows_what_operators_did_elsewhere(admin_client, order):
    kill("notifications.send_confirmation")
    letter = Delivery.objects.dead().get(key=str(order.pk))
    admin_client.post(
        "/admin/messaging/delivery/", {"action": "replay", "_selected_action": [letter.pk], "confirmed": "yes"}
    )

    html = admin_client.get(page(Order, "change", order.pk)).content.decode()

    assert "admin: Replayed as a dead letter." in html
