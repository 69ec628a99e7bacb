import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client

from notifications import sms, suppressions
from notifications.models import Notification, Suppression
from tests.notifications.events import NOON, cancelled, confirmed, make_notification, notify, queue
from tests.operators import act, open_every_page_of, operator_who_may, page

pytestmark = pytest.mark.django_db


def test_opens_every_page(admin_client):
    suppressions.add({make_notification(confirmed()): Suppression.Reason.BOUNCED}, now=NOON)

    assert open_every_page_of("notifications", admin_client) == {"Notification": 200, "Suppression": 200}


def test_finds_the_notifications_of_a_customer(admin_client):
    notify(confirmed(), confirmed(customer_id="18", email="bob@example.com"))

    results = admin_client.get(page(Notification), {"q": "17"}).content.decode()

    assert "ada@example.com" in results
    assert "bob@example.com" not in results


def test_finds_the_notifications_of_an_order_by_its_number_however_it_is_written(admin_client):
    notify(confirmed(number="K7Q4-M2X0"), confirmed(number="0000-0000", email="bob@example.com"))

    results = admin_client.get(page(Notification), {"q": "k7q4m2xo"}).content.decode()

    assert "ada@example.com" in results
    assert "bob@example.com" not in results


class TestResend:
    @pytest.fixture
    def operator(self) -> Client:
        return operator_who_may("notifications.view_notification", "notifications.change_notification")

    @pytest.mark.parametrize("status", ["failed", "bounced", "suppressed", "unknown"])
    def test_sends_what_was_not_accepted_again_with_the_same_id(self, operator, drain, status):
        queue(confirmed())
        Notification.objects.update(status=status)

        page_text = act(operator, "resend", Notification.objects.get())
        drain()

        assert "Queued 1 notification again." in page_text
        [message] = mail.outbox
        notification = Notification.objects.get()
        assert message.extra_headers["Message-ID"] == f"<{notification.pk}@example.com>"
        assert (notification.status, notification.reason) == ("accepted", "")
        assert LogEntry.objects.get().change_message == "Sent again."

    def test_sends_an_sms_again(self, operator, drain):
        queue(cancelled("expired", email="", phone="+441134960001"))
        Notification.objects.filter(channel="sms").update(status="failed")

        assert "Queued 1 notification again." in act(operator, "resend", Notification.objects.get(channel="sms"))
        drain()

        assert [message.to for message in sms.outbox] == ["+441134960001"]
        assert (Notification.objects.get(channel="sms").status, mail.outbox) == ("accepted", [])

    def test_repeats_what_was_accepted_only_if_told_so(self, operator, drain):
        notify(confirmed())
        notification = Notification.objects.get()

        assert "Left unchanged: 1." in act(operator, "resend", notification)
        drain()
        assert len(mail.outbox) == 1

        act(operator, "resend", notification, repeat="on")
        drain()
        assert len(mail.outbox) == 2

    def test_needs_a_permission(self, drain):
        queue(confirmed())
        Notification.objects.update(status="failed")

        act(operator_who_may("notifications.view_notification"), "resend", Notification.objects.get())

        assert Notification.objects.get().status == "failed"
