from html import unescape

import pytest
from django.test import Client

from tests.factories import make_customer
from tests.notifications.test_api import NOTIFICATIONS, of, tell

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    client = Client(headers={"Accept": "text/html"})
    client.force_login(make_customer())
    return client


def words(browser: Client) -> str:
    answer = browser.get(NOTIFICATIONS)
    assert answer.status_code == 200
    return " ".join(unescape(answer.content.decode()).split())


class TestNotifications:
    def test_are_shown_as_they_were_written(self, browser):
        told = tell(of("ada", lines=()))

        page = words(browser)

        assert "<h1>Your notifications</h1>" in page
        assert f"<h2>{told.subject}</h2>" in page
        assert "1 June 2030, 12:00</time> · to ada@example.com ·" in page
        assert f'<a href="/api/v1/orders/{told.order_id}/">Order</a>' in page

    def test_tell_of_what_could_not_be_sent(self, browser):
        tell(of("ada", email=""))

        assert "not sent: there was no address, or it was too late" in words(browser)

    def test_are_none_of_another_customers(self, browser):
        tell(of("grace"))

        assert "You have no notifications yet." in words(browser)
