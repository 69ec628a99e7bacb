import pytest

from notifications.models import Notification
from tests.notifications.test_services import confirmed, notify
from tests.operators import open_every_page_of, page

pytestmark = pytest.mark.django_db


def test_every_page_opens(admin_client):
    notify(confirmed())

    assert open_every_page_of("notifications", admin_client) == {"Notification": 200}


def test_the_notifications_of_a_customer_are_found(admin_client):
    notify(confirmed(), confirmed(customer_id="18", email="bob@example.com"))

    found = admin_client.get(page(Notification), {"q": "17"}).content.decode()

    assert "ada@example.com" in found
    assert "bob@example.com" not in found


def test_nobody_edits_by_hand(admin_client):
    notify(confirmed())
    told = Notification.objects.get()

    answers = [
        admin_client.post(page(Notification, "add")),
        admin_client.post(page(Notification, "change", told.pk), {"status": "suppressed"}),
        admin_client.post(page(Notification, "delete", told.pk), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
