from html import unescape

import pytest
from django.test import Client

from tests.notifications.events import confirmed_to, make_notification

pytestmark = pytest.mark.django_db


def read_page(browser: Client) -> str:
    response = browser.get("/api/v1/notifications/")
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).split())


class TestNotifications:
    def test_shows_subject_time_recipient_and_order(self, browser):
        notification = make_notification(confirmed_to("ada", lines=()))

        page = read_page(browser)

        assert "<h1>Your notifications</h1>" in page
        assert f"<h2>{notification.subject}</h2>" in page
        assert "1 June 2030, 12:00</time> · to ada@example.com ·" in page
        assert f'<a href="/api/v1/orders/{notification.order_id}/">Order</a>' in page

    def test_says_that_a_notification_was_not_sent(self, browser):
        make_notification(confirmed_to("ada", email=""))

        assert "not sent: there was no address, or it was too late" in read_page(browser)

    def test_shows_no_notification_of_another_customer(self, browser):
        make_notification(confirmed_to("grace"))

        assert "You have no notifications yet." in read_page(browser)
