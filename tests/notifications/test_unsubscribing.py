"""
Links by which customers switch off a kind of e-mail without a login: as mail programs, scanners and people use them.
"""

import re
from email import message_from_bytes
from email.message import Message
from html import unescape

import pytest
from django.core import mail, signing
from django.test import Client

from notifications import preferences
from notifications.models import Notification, Preference
from notifications.services import resend
from tests.notifications.events import NOON, cancelled, confirmed, due_soon, notify, placed, refunded, send_queued
from tests.snapshot import snapshot

pytestmark = pytest.mark.django_db

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def mail_program() -> Client:
    """A program without cookies or a login, which sends no CSRF token."""
    return Client(enforce_csrf_checks=True)


def sent() -> Message:
    [message] = mail.outbox
    return message_from_bytes(message.message().as_bytes())


def link() -> str:
    """
    Return the path of the link in the mail that was sent.
    """
    match = re.fullmatch(r"\s*<http://127\.0\.0\.1:8000(/unsubscribe/\S+/)>", sent()["List-Unsubscribe"])
    assert match
    return match[1]


def is_reminded(customer_id: str = "17") -> bool:
    rows = {(row.kind, row.channel): row.is_on for row in preferences.of_customer(customer_id)}
    return rows["payment_due_soon", "email"]


class TestMail:
    @pytest.mark.parametrize("event", [placed(), due_soon()])
    def test_that_may_be_switched_off_has_the_headers_and_links_to_the_preferences(self, event):
        notify(event)

        assert sent()["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert "ada@example.com" not in link()
        footer = "http://127.0.0.1:8000/api/v1/notification-preferences/"
        assert (footer in Notification.objects.get().body, footer in Notification.objects.get().html) == (True, True)

    @pytest.mark.parametrize("event", [confirmed(), refunded(), *map(cancelled, ["expired", "by_customer"])])
    def test_that_the_contract_requires_has_none(self, event):
        notify(event)

        assert not {"List-Unsubscribe", "List-Unsubscribe-Post"} & set(sent().keys())
        assert "notification-preferences" not in Notification.objects.get().body + Notification.objects.get().html

    def test_has_the_same_bytes_when_it_is_sent_again(self):
        notify(due_soon())
        resend([Notification.objects.get().pk], repeats=True, now=NOON)
        send_queued(Notification.Channel.EMAIL)

        first, again = mail.outbox
        assert first.message().as_bytes() == again.message().as_bytes()


class TestLink:
    @pytest.fixture(autouse=True)
    def _reminder(self):
        notify(due_soon())

    def test_switches_the_kind_off_by_one_click_of_a_mail_program(self, mail_program):
        response = mail_program.post(link(), ONE_CLICK)

        assert response.status_code == 200
        assert not is_reminded()
        assert Preference.objects.count() == 1

    def test_may_be_used_again(self, mail_program):
        statuses = [mail_program.post(link(), ONE_CLICK).status_code for _ in range(2)]

        assert statuses == [200, 200]
        assert not is_reminded()

    def test_changes_nothing_until_the_customer_confirms(self, mail_program):
        before = snapshot()

        page = " ".join(unescape(mail_program.get(link()).content.decode()).split())

        assert "Do you want no more e-mails of this kind: “Reminder of a payment”?" in page
        assert snapshot() == before
        assert is_reminded()

    def test_speaks_german(self, mail_program):
        page = mail_program.post(link(), ONE_CLICK, headers={"Accept-Language": "de"}).content.decode()

        assert "Sie erhalten keine E-Mails dieser Art mehr: „Erinnerung an eine Zahlung“." in page

    @pytest.mark.parametrize(
        "token",
        [
            "1",
            signing.Signer(salt="another").sign_object(["17", "payment_due_soon"]),
            signing.Signer(key="k" * 50, salt="notifications.unsubscribe").sign_object(["17", "payment_due_soon"]),
            signing.Signer(salt="notifications.unsubscribe").sign_object(["17", "payment_refunded"]),
            signing.Signer(salt="notifications.unsubscribe").sign_object(["17", "no_such_kind"]),
        ],
    )
    @pytest.mark.parametrize("method", ["get", "post"])
    def test_that_the_shop_has_not_signed_changes_nothing(self, mail_program, token, method):
        before = snapshot()

        response = getattr(mail_program, method)(f"/unsubscribe/{token}/", headers={"Accept": "text/html"})

        assert response.status_code == 404
        assert "Copy the whole link from the message" in response.content.decode()
        assert snapshot() == before

    def test_that_was_changed_changes_nothing(self, mail_program):
        path = link()
        before = snapshot()

        responses = [
            mail_program.post(path[:position] + "x" + path[position + 1 :], ONE_CLICK)
            for position in range(len("/unsubscribe/"), len(path) - 1)
            if path[position] != "x"
        ]

        assert {response.status_code for response in responses} == {404}
        assert snapshot() == before

    def test_of_a_customer_whose_data_were_erased_changes_nothing(self, mail_program):
        path = link()
        Notification.objects.update(recipient="")
        before = snapshot()

        assert mail_program.post(path, ONE_CLICK).status_code == 200
        assert snapshot() == before
