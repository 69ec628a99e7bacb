import pytest

from notifications.models import Notification
from tests.notifications.events import confirmed, notify
from tests.operators import open_every_page_of, page

pytestmark = pytest.mark.django_db


def test_opens_every_page(admin_client):
    notify(confirmed())

    assert open_every_page_of("notifications", admin_client) == {"Notification": 200}


def test_finds_the_notifications_of_a_customer(admin_client):
    notify(confirmed(), confirmed(customer_id="18", email="bob@example.com"))

    results = admin_client.get(page(Notification), {"q": "17"}).content.decode()

    assert "ada@example.com" in results
    assert "bob@example.com" not in results
