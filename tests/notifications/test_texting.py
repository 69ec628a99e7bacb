"""
SMS to customers: when they are sent, what becomes of them, and that an unknown one is not repeated.
"""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.core import mail
from django.utils import timezone

from messaging.contracts import SmsQueued
from messaging.models import Delivery
from messaging.subscribers import PartlyUnavailable
from notifications import sms
from notifications.models import Notification, Suppression
from notifications.services import resend
from tests.notifications.events import NOON, cancelled, confirmed, due_soon, placed, queue, refunded, send_queued
from tests.notifications.providers import PROVIDERS, Killed, KillsTheWorker
from tests.notifications.sms.twilio_server import TwilioServer, disconnecting, refusing
from tests.notifications.test_handlers import published_delivery
from tests.outbox import published
from tests.programs import LOCALHOST, free_port

pytestmark = pytest.mark.django_db

ADAS_NUMBER, BOBS_NUMBER = "+441134960001", "+441134960002"
SMS = Notification.Channel.SMS


@pytest.fixture
def use(settings):
    """Change settings of notifications."""

    def use(**changes: object) -> None:
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, **changes)

    return use


def queue_sms(*numbers: str) -> None:
    """
    Queue an SMS to each of them.
    """
    queue(*[cancelled("payment_failed", phone=number) for number in numbers or [ADAS_NUMBER]], now=timezone.now())


def send_sms() -> str:
    """
    Send what is queued, and return why some was not sent, as the relay is told.
    """
    try:
        send_queued(SMS, now=timezone.now())
    except PartlyUnavailable as error:
        return str(error)
    return ""


def row() -> tuple[str, str, str]:
    return Notification.objects.filter(channel=SMS).values_list("status", "reason", "error").get()


class TestCustomerWithPhone:
    @pytest.mark.parametrize(
        ("event", "channels"),
        [
            (placed(phone=ADAS_NUMBER), ["email"]),
            (confirmed(phone=ADAS_NUMBER), ["email"]),
            (cancelled("out_of_stock", phone=ADAS_NUMBER), ["email", "sms"]),
            (cancelled("payment_failed", phone=ADAS_NUMBER), ["email", "sms"]),
            (cancelled("expired", phone=ADAS_NUMBER), ["email", "sms"]),
            (cancelled("by_customer", phone=ADAS_NUMBER), ["email"]),
            (due_soon(phone=ADAS_NUMBER), ["email", "sms"]),
            (refunded(phone=ADAS_NUMBER), ["email"]),
        ],
    )
    def test_is_told_by_sms_what_is_urgent(self, event, channels):
        queue(event)

        assert list(Notification.objects.order_by("channel").values_list("channel", flat=True)) == channels

    def test_gets_the_text_while_it_is_useful(self):
        queue(due_soon(phone=ADAS_NUMBER, due_at=(NOON + timedelta(minutes=5)).isoformat()))

        send_queued(SMS)

        notification = Notification.objects.get(channel=SMS)
        assert sms.outbox == [
            sms.SmsMessage(to=ADAS_NUMBER, body=notification.body, reference=str(notification.pk), valid_seconds=5 * 60)
        ]
        assert notification.body.startswith("Ada's Chairs: ")
        assert (notification.status, notification.attempts, notification.accepted_at) == ("accepted", 1, NOON)

    def test_gets_no_sms_if_the_shop_has_no_provider(self, use):
        use(sms_backend="")

        queue_sms()

        assert Notification.objects.get().channel == "email"

    @pytest.mark.parametrize("number", ["0113 4960001", "+44 113 4960001", "+0441134960001", "ada@example.com"])
    def test_gets_no_sms_at_a_number_that_is_not_in_e164_form(self, number):
        queue_sms(number)

        assert row() == ("suppressed", "no_address", "")
        assert published(SmsQueued) == []
        assert Notification.objects.get(channel="email").status == "queued"

    def test_gets_mail_and_sms_by_the_outbox(self, drain):
        published_delivery(cancelled("expired", phone=ADAS_NUMBER))

        drain()

        assert [message.to for message in mail.outbox] == [["ada@example.com"]]
        assert [message.to for message in sms.outbox] == [ADAS_NUMBER]


class TestProviderThatIsDown:
    def test_delays_no_mail(self, twilio: TwilioServer, drain):
        twilio.script.extend([refusing(503)] * 10)
        published_delivery(cancelled("expired", phone=ADAS_NUMBER))

        drain()

        pending = Delivery.objects.exclude(status="delivered")
        assert list(pending.values_list("subscriber", "attempts", "deferrals")) == [("notifications.send_sms", 0, 1)]
        assert row() == ("sending", "", "Twilio answered HTTP 503, error 0.")
        assert len(mail.outbox) == 1

        twilio.script.clear()
        drain(after=timedelta(minutes=5))
        assert row() == ("accepted", "", "")

    def test_is_called_once_by_each_connection(self, twilio: TwilioServer, use):
        use(sms_connections=2)
        twilio.script.extend([refusing(429)] * 10)
        queue_sms(*[f"+4411349600{number}" for number in range(10, 20)])

        assert send_sms() == "2 SMS were not accepted: Twilio answered HTTP 429, error 0."

        assert len(twilio.forms) == 2
        assert set(Notification.objects.filter(channel=SMS).values_list("status", flat=True)) == {"sending"}

    def test_by_the_settings_is_named(self, use):
        queue_sms()
        use(sms_backend="")

        assert send_sms() == "1 SMS were not accepted: SMS_BACKEND is not set."


class TestRejectedSms:
    @pytest.mark.parametrize(
        ("code", "state", "entries"),
        [
            (21211, ("bounced", "no_mailbox"), ["bounced"]),
            (21614, ("bounced", "no_mailbox"), ["bounced"]),
            pytest.param(21610, ("failed", "rejected"), ["unsubscribed"], id="answered STOP"),
            (21408, ("failed", "rejected"), []),
        ],
    )
    def test_is_not_sent_again_and_delays_no_other(self, twilio: TwilioServer, use, code, state, entries):
        use(sms_connections=1)
        twilio.script.append(refusing(400, code))
        queue_sms(ADAS_NUMBER, BOBS_NUMBER)

        assert send_sms() == ""

        rejected, accepted = Notification.objects.filter(channel=SMS).order_by("recipient")
        assert (rejected.status, rejected.reason) == state
        assert (accepted.status, accepted.provider_id) == ("accepted", twilio.sent[0]["sid"])
        assert list(Suppression.objects.filter(recipient=ADAS_NUMBER).values_list("reason", flat=True)) == entries

    def test_has_an_error_without_the_number(self, use):
        use(sms_backend=f"{PROVIDERS}.RefusesBobsNumber")
        queue_sms(BOBS_NUMBER)

        send_sms()

        assert row() == ("failed", "rejected", "To (number): the number (number) is not a mobile one.")


class TestUnknownSms:
    @pytest.mark.parametrize("taken", [True, False])
    def test_is_sent_again_only_if_the_provider_has_not_sent_it(self, twilio: TwilioServer, taken):
        twilio.script.append(disconnecting(taken=taken))
        queue_sms()

        assert "answer was lost" in send_sms()
        assert row()[0] == "unknown"

        assert send_sms() == ""
        assert row() == ("accepted", "", "")
        assert [message["sid"] for message in twilio.sent] == [Notification.objects.get(channel=SMS).provider_id]

    def test_stays_unknown_while_it_cannot_be_looked_up(self, twilio: TwilioServer, use):
        twilio.script.append(disconnecting(taken=True))
        queue_sms()
        send_sms()
        use(twilio_api_base=f"http://{LOCALHOST}:{free_port()}")

        assert "cannot be reached" in send_sms()

        assert row()[0] == "unknown"
        use(twilio_api_base=twilio.url)
        assert send_sms() == ""
        assert len(twilio.sent) == 1

    def test_of_a_worker_that_was_killed_is_looked_up(self, twilio: TwilioServer):
        queue_sms()
        send_sms()
        Notification.objects.filter(channel=SMS).update(status="sending", provider_id="", accepted_at=None)

        send_sms()

        assert row()[0] == "accepted"
        assert len(twilio.sent) == 1


class TestResend:
    def resend(self) -> None:
        resend([Notification.objects.get(channel=SMS).pk], repeats=True, now=timezone.now())

    def test_sends_another_sms(self, twilio: TwilioServer):
        queue_sms()
        send_sms()

        self.resend()
        send_sms()

        assert len(twilio.sent) == 2
        assert Notification.objects.get(channel=SMS).provider_id == twilio.sent[1]["sid"]

    def test_whose_result_is_unknown_is_not_repeated(self, twilio: TwilioServer):
        queue_sms()
        send_sms()
        twilio.script.append(disconnecting(taken=True))

        self.resend()
        send_sms()
        send_sms()

        assert len(twilio.sent) == 2
        assert Notification.objects.get(channel=SMS).provider_id == twilio.sent[1]["sid"]


class TestKilledWorker:
    def test_repeats_at_most_the_sms_in_hand(self, use, tmp_path):
        log = tmp_path / "sms.jsonl"
        use(sms_backend=f"{PROVIDERS}.KillsTheWorker", sms_file=str(log), sms_connections=2)
        KillsTheWorker.accepted.clear()
        queue_sms(*[f"+4411349600{number}" for number in range(10, 30)])

        with pytest.raises(Killed):
            send_sms()
        use(sms_backend="notifications.sms.backends.file.SmsBackend")
        assert send_sms() == ""

        sent = Counter(UUID(json.loads(line)["reference"]) for line in log.read_text(encoding="utf-8").splitlines())
        assert sent.keys() == set(Notification.objects.filter(channel=SMS).values_list("pk", flat=True))
        assert 1 <= sent.total() - len(sent) <= 2
        assert set(Notification.objects.filter(channel=SMS).values_list("status", flat=True)) == {"accepted"}
