import re
from dataclasses import replace
from html import unescape
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.test import Client

from messaging.contracts import ConfirmedLine
from notifications.models import Notification, Preference
from tests.factories import CustomerFactory
from tests.notifications.events import cancelled, confirmed_to, make_notification, queue, send_queued

pytestmark = pytest.mark.django_db

NOTIFICATIONS = "/api/v1/notifications/"


def read_page(browser: Client, query: str = "", *, page: str = NOTIFICATIONS) -> str:
    response = browser.get(f"{page}{query}")
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).split())


class TestNotifications:
    def test_shows_subject_time_recipient_and_order(self, browser):
        notification = make_notification(confirmed_to("ada", lines=()))

        page = read_page(browser)

        assert "<h1>Your notifications</h1>" in page
        assert f"<h2>{notification.subject}</h2>" in page
        assert "1 June 2030, 12:00 UTC</time> · to ada@example.com ·" in page
        assert f'<a href="/api/v1/orders/{notification.order_id}/">Order</a>' in page

    def test_shows_an_sms(self, browser):
        event = cancelled("expired", customer_id=str(CustomerFactory().pk), email="", phone="+441134960001")
        queue(event)
        send_queued(Notification.Channel.SMS)

        page = read_page(browser)

        assert "<h2>Text message</h2>" in page
        assert "· to +441134960001 ·" in page

    def test_links_to_those_on_their_way_and_back(self, browser):
        queue(confirmed_to("ada"))

        sent, pending = read_page(browser), read_page(browser, "?include=pending")

        assert '<a href="?include=pending">Show also what is on its way</a>' in sent
        assert "You have no notifications yet." in sent
        assert "being sent to ada@example.com" in pending
        assert '<a href="/api/v1/notifications/">Show only what was sent</a>' in pending

    def test_breaks_no_line_at_the_hyphen_of_an_order_number(self, browser):
        lines = (ConfirmedLine(sku="MUG", name="Mug <& more>", quantity=1, unit_price=350),)
        make_notification(confirmed_to("ada", number="K7Q4-M2X0", lines=lines))

        response = browser.get("/api/v1/notifications/").content.decode()

        assert '<h2>Your order <span class="whole">K7Q4-M2X0</span> is confirmed</h2>' in response
        assert "Mug &lt;&amp; more&gt;" in response

    def test_shows_no_notification_that_was_not_sent(self, browser):
        make_notification(confirmed_to("ada", email=""))

        assert "You have no notifications yet." in read_page(browser)

    def test_shows_no_notification_of_another_customer(self, browser):
        make_notification(confirmed_to("grace"))

        assert "You have no notifications yet." in read_page(browser)


class TestPreferences:
    PAGE = "/api/v1/notification-preferences/"

    def boxes(self, browser: Client) -> dict[str, set[str]]:
        """Return the attributes of each checkbox of the page, by its value."""
        page = browser.get(self.PAGE).content.decode()
        boxes = re.findall(r'<input type="checkbox" name="on" value="([^"]+)"([^>]*)>', page)
        return {value: set(attributes.split()) for value, attributes in boxes}

    def submit(self, browser: Client, form: dict[str, list[str]]) -> HttpResponse:
        return browser.post(self.PAGE, urlencode(form, doseq=True), "application/x-www-form-urlencoded")

    def test_shows_what_is_on_and_what_cannot_be_switched_off(self, browser):
        boxes = self.boxes(browser)

        assert len(boxes) == 16
        assert boxes["payment_refunded email"] == {"checked", "disabled"}
        assert boxes["payment_due_soon email"] == boxes["payment_due_soon sms"] == {"checked"}
        assert boxes["order_received sms"] == set()

    def test_saves_what_the_customer_chose(self, browser):
        form = {
            "shown": ["payment_due_soon email", "payment_due_soon sms", "order_received sms"],
            "on": ["payment_due_soon email", "order_received sms"],
        }

        response = self.submit(browser, form)

        assert (response.status_code, response.headers["Location"]) == (303, self.PAGE)
        assert "Your choice is saved." in read_page(browser, page=self.PAGE)
        boxes = self.boxes(browser)
        assert (boxes["payment_due_soon email"], boxes["payment_due_soon sms"]) == ({"checked"}, set())
        assert boxes["order_received sms"] == {"checked"}
        assert boxes["order_received email"] == {"checked"}, "the form did not show it"

    @pytest.mark.parametrize(
        ("shown", "code"),
        [
            ("payment_refunded email", "required_notification"),
            ("payment_anomaly sms", "invalid_preferences"),
            ("payment_due_soon pigeon", "invalid_preferences"),
            ("payment_due_soon", "invalid_preferences"),
            ("", "invalid_preferences"),
        ],
    )
    def test_refuses_a_form_that_is_not_its_own(self, browser, shown, code):
        response = self.submit(browser, {"shown": ["payment_due_soon sms", shown]})

        assert response.status_code == 400
        assert f">{code}</a>" in response.content.decode()
        assert not Preference.objects.exists()

    def test_is_linked_from_the_notifications(self, browser):
        assert f'href="{self.PAGE}">Choose your notifications</a>' in read_page(browser)

    def test_shows_no_sms_if_the_shop_sends_none(self, browser, settings):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, sms_backend="")

        assert "SMS" not in browser.get(self.PAGE).content.decode()
