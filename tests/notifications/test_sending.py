import threading
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core import mail

from messaging.subscribers import NotReady, PartlyUnavailable
from notifications import sending
from notifications.models import Notification
from tests.notifications.events import NOON, confirmed, due_soon, notify, queue
from tests.notifications.providers import PROVIDERS, HangsForBob
from tests.outbox import counting_statements
from tests.waiting import eventually

pytestmark = pytest.mark.django_db


def statuses() -> dict[str, str]:
    return dict(Notification.objects.values_list("recipient", "status"))


class TestSend:
    def test_sends_to_the_recipient_with_the_id_of_the_notification(self):
        notify(confirmed())

        (message,) = mail.outbox
        notification = Notification.objects.get()
        assert message.to == ["ada@example.com"]
        assert message.extra_headers["Message-ID"] == f"<{notification.pk}@example.com>"
        assert (notification.status, notification.attempts, notification.accepted_at) == ("accepted", 1, NOON)

    def test_skips_what_is_sent_already(self):
        notify(confirmed())

        sending.send([str(Notification.objects.get().pk)], channel=Notification.Channel.EMAIL, now=NOON)

        assert len(mail.outbox) == 1

    @pytest.mark.parametrize(
        ("before", "after"), [("queued", ("suppressed", "too_late")), ("sending", ("failed", "too_late"))]
    )
    def test_sends_nothing_that_is_useless_by_now(self, before, after):
        queue(confirmed())
        Notification.objects.update(status=before)

        sending.send(
            [str(Notification.objects.get().pk)], channel=Notification.Channel.EMAIL, now=NOON + timedelta(hours=72)
        )

        assert Notification.objects.values_list("status", "reason").get() == after
        assert mail.outbox == []

    def test_sends_no_reminder_of_an_order_that_has_ended_meanwhile(self):
        queue(due_soon())

        notify(confirmed())

        assert [message.to for message in mail.outbox] == [["ada@example.com"]]
        assert Notification.objects.get(kind="payment_due_soon").status == "suppressed"

    @pytest.mark.parametrize(
        ("provider", "status", "error"),
        [
            ("RefusesBob", "bounced", None),
            ("DownForBob", "unknown", PartlyUnavailable),
            ("BreaksOnBob", "sending", ValueError),
        ],
    )
    def test_sends_to_the_others_if_one_recipient_fails(self, settings, provider, status, error):
        settings.EMAIL_BACKEND = f"{PROVIDERS}.{provider}"

        with pytest.raises(error) if error else nullcontext():
            notify(confirmed(), confirmed(email="bob@example.com"), confirmed(email="eve@example.com"))

        assert statuses() == {"ada@example.com": "accepted", "bob@example.com": status, "eve@example.com": "accepted"}
        assert sorted(message.to for message in mail.outbox) == [["ada@example.com"], ["eve@example.com"]]

    def test_has_time_for_a_mail_whose_deadline_is_half_of_the_limit_of_a_worker(self, settings):
        settings.MESSAGING = replace(settings.MESSAGING, handler_limit_seconds=2)
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, email_deadline_seconds=1)

        notify(confirmed())

        assert statuses() == {"ada@example.com": "accepted"}

    def test_of_calls_that_hang_occupies_the_connections_and_no_more_threads(self, settings):
        settings.EMAIL_BACKEND = f"{PROVIDERS}.HangsForBob"
        settings.MESSAGING = replace(settings.MESSAGING, handler_limit_seconds=1)
        limits = {"email_deadline_seconds": 0.2, "email_connections": 2}
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, **limits)
        HangsForBob.answers.clear()
        threads = threading.active_count()

        with pytest.raises(PartlyUnavailable):
            notify(confirmed(email="bob@example.com"), confirmed(email="bob@example.com"))
        assert list(Notification.objects.values_list("status", flat=True)) == ["unknown", "unknown"]
        with pytest.raises(NotReady):
            notify(confirmed())
        assert threading.active_count() <= threads + 2

        HangsForBob.answers.set()
        eventually(lambda: threading.active_count() == threads)
        notify(confirmed())
        assert set(Notification.objects.values_list("status", flat=True)) == {"accepted"}

    def test_rejects_a_malformed_address_for_good(self):
        notify(confirmed(email="ada@@example.com"))

        notification = Notification.objects.get()
        assert (notification.status, notification.reason) == ("failed", "rejected")
        assert "ada" not in notification.error

    def test_costs_a_statement_for_each_mail_at_most(self):
        queue(*[confirmed() for _ in range(100)])
        ids = [str(pk) for pk in Notification.objects.values_list("pk", flat=True)]

        with counting_statements() as statements:
            sending.send(ids, channel=Notification.Channel.EMAIL, now=NOON)

        assert len(statements) <= 10 + len(ids)
        assert len(mail.outbox) == 100
