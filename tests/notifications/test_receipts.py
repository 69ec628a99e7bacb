from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from notifications.models import Notification, Suppression
from tests.notifications.events import cancelled, queue, send_queued
from tests.notifications.sms.receipts import RECEIPTS, receipt_of, signature_of
from tests.refusals import problem_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("twilio")]

NUMBER = "+441134960001"
SMS = Notification.Channel.SMS


@pytest.fixture(autouse=True)
def _public(settings):
    settings.SHOP = replace(settings.SHOP, url="https://shop.example")


@pytest.fixture
def notification() -> Notification:
    """
    An SMS to NUMBER that Twilio accepted.
    """
    queue_sms()
    send_queued(SMS, now=timezone.now())
    return Notification.objects.get(channel=SMS)


def queue_sms() -> None:
    queue(cancelled("payment_failed", phone=NUMBER), now=timezone.now())


def report(notification: Notification, *, signature: str = "", sid: str = "SM1", **fields: str) -> HttpResponse:
    """
    Send a receipt as Twilio does.
    """
    url, form = receipt_of(str(notification.pk), sid=sid, **fields)
    path, query = urlsplit(url).path, urlsplit(url).query
    headers = {"X-Twilio-Signature": signature or signature_of(url, form)}
    return Client().post(path, form, headers=headers, query_params=dict([query.split("=")]))


def state() -> tuple[str, str]:
    return Notification.objects.filter(channel=SMS).order_by("pk").values_list("status", "reason")[0]


@pytest.mark.parametrize(
    ("fields", "after", "entries"),
    [
        ({"MessageStatus": "sent"}, ("accepted", ""), []),
        ({"MessageStatus": "delivered"}, ("delivered", ""), []),
        ({"MessageStatus": "undelivered", "ErrorCode": "30005"}, ("bounced", "no_mailbox"), ["bounced"]),
        ({"MessageStatus": "undelivered", "ErrorCode": "21610"}, ("bounced", "rejected"), ["unsubscribed"]),
        ({"MessageStatus": "failed", "ErrorCode": "30008"}, ("bounced", "rejected"), []),
        ({"MessageStatus": "typing"}, ("accepted", ""), []),
    ],
)
def test_moves_the_notification_and_lists_the_number(notification, fields, after, entries):
    answer = report(notification, sid=notification.provider_id, **fields)

    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert state() == after
    assert list(Suppression.objects.filter(recipient=NUMBER).values_list("reason", flat=True)) == entries


def test_holds_back_later_sms_but_no_mail_to_a_number_that_is_listed(notification):
    report(notification, MessageStatus="undelivered", ErrorCode="30005")

    queue_sms()
    send_queued(SMS, now=timezone.now())
    send_queued(Notification.Channel.EMAIL, now=timezone.now())

    assert Notification.objects.filter(channel=SMS).latest("pk").reason == "listed"
    assert [message.to for message in mail.outbox] == [["ada@example.com"]] * 2


def test_never_goes_back(notification):
    for status in ("delivered", "sent", "delivered"):
        assert report(notification, MessageStatus=status).status_code == 200

    assert state() == ("delivered", "")


def test_arrives_before_the_answer_to_our_own_call():
    queue_sms()
    Notification.objects.filter(channel=SMS).update(status="sending", attempts=1)
    notification = Notification.objects.get(channel=SMS)

    report(notification, MessageStatus="delivered")

    assert state() == ("delivered", "")


def test_is_rejected_unless_the_provider_signed_it(notification):
    answer = report(notification, signature="bm90IHNpZ25lZA==", MessageStatus="delivered")

    assert problem_of(answer)["code"] == "invalid_signature"
    assert state() == ("accepted", "")


@pytest.mark.parametrize("backend", ["", "notifications.sms.backends.memory.SmsBackend"])
def test_is_not_found_without_a_provider_that_sends_them(notification, settings, backend):
    settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, sms_backend=backend)

    assert problem_of(report(notification, MessageStatus="delivered"))["code"] == "not_found"


@pytest.mark.parametrize(
    ("url", "is_public"),
    [
        ("https://shop.example", True),
        ("https://shop.example:8443", True),
        ("http://shop.example", False),
        ("https://localhost", False),
        ("https://127.0.0.1:8000", False),
        ("https://[::1]", False),
        ("https://shop.local", False),
    ],
)
def test_are_requested_if_the_provider_can_call_the_shop(settings, twilio, url, is_public):
    settings.SHOP = replace(settings.SHOP, url=url)
    queue_sms()

    send_queued(SMS, now=timezone.now())

    notification = Notification.objects.get(channel=SMS)
    callback = f"{url}{RECEIPTS}?notification={notification.pk}"
    assert twilio.forms[0].get("StatusCallback") == (callback if is_public else None)
