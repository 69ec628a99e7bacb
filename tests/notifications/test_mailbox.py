from dataclasses import replace
from html import unescape
from uuid import uuid4

import pytest
from django.test import Client

from notifications.models import Notification
from notifications.previews import MAIL_POLICY
from shop.settings.groups import DUMMY_EMAIL, DUMMY_SMS
from tests.notifications.events import NOON, ORDER, anomaly, confirmed, make_notification, queue
from tests.operators import operator_who_may

pytestmark = pytest.mark.django_db

SENT = "/sent/"


@pytest.fixture(autouse=True)
def _debug(settings):
    settings.DEBUG = True


@pytest.fixture
def operator():
    return operator_who_may("notifications.view_notification")


def shown(operator: Client, path: str = SENT) -> str:
    response = operator.get(path)
    assert response.status_code == 200
    return " ".join(unescape(response.content.decode()).split())


def make_sms(**changes: object) -> Notification:
    about = {"message_id": uuid4(), "kind": "payment_due_soon", "channel": "sms", "recipient": "+447700900123"}
    sent = {"status": "delivered", "body": "Please pay.", "created_at": NOON, "accepted_at": NOON}
    return Notification.objects.create(**about | sent | changes)


class TestList:
    def test_shows_what_was_sent_newest_first(self, operator):
        mail = make_notification(confirmed(number="K7Q4-M2X0"))
        sms = make_sms(number="K7Q4-M2X0")

        page = shown(operator)

        assert page.index(f'href="/sent/{sms.pk}/"') < page.index(f'href="/sent/{mail.pk}/"')
        assert "ada@example.com" in page
        assert '<code>order_confirmed</code> · <code class="whole">K7Q4-M2X0</code>' in page
        assert '<span class="state accepted">accepted</span>' in page
        assert '<span class="state delivered">delivered</span>' in page

    def test_shows_nothing_that_was_not_sent(self, operator):
        queue(confirmed(email=""), confirmed(email="bob@example.com"))

        assert "Nothing has been sent yet." in shown(operator)

    @pytest.mark.parametrize("words", ["ADA", "ada@example.com", "K7Q4-M2X0", "k7q4m2x0", " K7Q4 M2XO "])
    def test_finds_a_recipient_by_a_part_and_a_number_in_any_spelling(self, operator, words):
        mail = make_notification(confirmed(number="K7Q4-M2X0"))
        sms = make_sms(number="0000-0000")

        page = shown(operator, f"{SENT}?q={words}")

        assert f'href="/sent/{mail.pk}/"' in page
        assert f'href="/sent/{sms.pk}/"' not in page

    def test_says_that_nothing_was_found(self, operator):
        make_sms()

        assert "No message to “<b>”" in shown(operator, f"{SENT}?q=<b>")

    def test_has_pages_that_keep_the_search(self, operator):
        for _ in range(30):
            make_sms()

        first, second = shown(operator, f"{SENT}?q=%2B44"), shown(operator, f"{SENT}?q=%2B44&page=2")

        assert (first.count('href="/sent/0'), second.count('href="/sent/0')) == (25, 5)
        assert 'href="?q=%2B44&page=2" rel="next"' in first
        assert 'href="?q=%2B44&page=1" rel="prev"' in second

    @pytest.mark.parametrize("page", ["0", "99", "x"])
    def test_shows_the_nearest_page_of_an_invalid_number(self, operator, page):
        sms = make_sms()

        assert f'href="/sent/{sms.pk}/"' in shown(operator, f"{SENT}?page={page}")


class TestWhatIsSent:
    def test_is_nothing_with_the_backends_of_the_demo(self, operator, settings):
        settings.EMAIL_BACKEND = DUMMY_EMAIL
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, sms_backend=DUMMY_SMS)

        assert "This shop sends nothing to anyone." in shown(operator)

    def test_is_everything_with_a_backend_that_sends(self, operator, settings):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"

        page = shown(operator)

        assert "What the providers of mail and SMS accepted." in page
        assert f"<code>{settings.EMAIL_BACKEND}</code>" in page


class TestMail:
    def test_shows_html_in_sandboxed_frames_text_and_headers(self, operator):
        mail = make_notification(confirmed(number="K7Q4-M2X0"))

        response = operator.get(f"{SENT}{mail.pk}/")

        page = unescape(response.content.decode())
        assert page.count(f'<iframe sandbox src="/sent/{mail.pk}/mail/"') == 2
        assert "frame-src 'self'" in response.headers["Content-Security-Policy"]
        assert mail.body.strip().splitlines()[0] in page
        assert "Auto-Submitted: auto-generated" in page
        assert f"Message-ID: <{mail.pk}@example.com>" in page
        assert f'href="/admin/orders/order/{ORDER}/change/">K7Q4-M2X0</a>' in page

    def test_is_a_document_with_its_own_policy(self, operator):
        mail = make_notification(confirmed())

        response = operator.get(f"{SENT}{mail.pk}/mail/")

        assert response.content.decode() == mail.html
        assert response.headers["Content-Security-Policy"] == MAIL_POLICY

    def test_to_the_operator_has_no_frames(self, operator):
        alert = make_notification(anomaly("late"))

        assert "<iframe" not in shown(operator, f"{SENT}{alert.pk}/")
        assert operator.get(f"{SENT}{alert.pk}/mail/").status_code == 404

    def test_is_not_found_before_it_is_sent(self, operator):
        queue(confirmed())
        unsent = Notification.objects.get()

        assert operator.get(f"{SENT}{unsent.pk}/").status_code == 404
        assert operator.get(f"{SENT}{unsent.pk}/mail/").status_code == 404


def test_an_sms_is_shown_with_its_number_of_segments(operator):
    sms = make_sms(body="é" * 161)

    page = shown(operator, f"{SENT}{sms.pk}/")

    assert f'<pre tabindex="0">{"é" * 161}</pre>' in page
    assert "161 characters, 2 segments" in page
