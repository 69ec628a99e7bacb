from datetime import timedelta
from uuid import uuid4

import pytest
from django.core import mail

from messaging.contracts import EmailQueued
from notifications import services
from notifications.models import Notification
from tests.notifications.events import NOON, ORDER, cancelled, confirmed, due_soon, placed, queue, refunded
from tests.outbox import allowed_for_a_hundredfold, counting_statements, published

pytestmark = pytest.mark.django_db


class TestQueue:
    def test_stores_the_text_and_publishes_that_it_is_to_be_sent(self):
        queue(confirmed(number="K7Q4-M2X0", language="de"))

        notification = Notification.objects.get()
        assert (notification.kind, notification.channel, notification.status) == ("order_confirmed", "email", "queued")
        assert (notification.recipient, notification.number, notification.language) == (
            "ada@example.com",
            "K7Q4-M2X0",
            "de",
        )
        assert notification.subject == "Ihre Bestellung K7Q4-M2X0 ist bestätigt"
        assert "Mug <& more>" in notification.body
        assert "Mug &lt;&amp; more&gt;" in notification.html
        assert published(EmailQueued) == [
            EmailQueued(notification_id=str(notification.pk), order_id=ORDER, number="K7Q4-M2X0")
        ]

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            (placed(), "order_received"),
            (confirmed(), "order_confirmed"),
            (cancelled("out_of_stock"), "out_of_stock"),
            (cancelled("payment_failed"), "payment_failed"),
            (cancelled("expired"), "order_expired"),
            (cancelled("by_customer"), "order_cancelled"),
            (cancelled("by_operator"), "order_cancelled"),
            (due_soon(), "payment_due_soon"),
            (refunded(), "payment_refunded"),
        ],
    )
    def test_stores_the_kind_of_the_event(self, event, kind):
        queue(event)

        assert Notification.objects.values_list("kind", "status").get() == (kind, "queued")

    def test_stores_one_notification_for_a_repeated_message(self):
        events = {uuid4(): confirmed()}

        services.queue(events, now=NOON)
        services.queue(events, now=NOON)

        assert len(published(EmailQueued)) == Notification.objects.count() == 1

    def test_has_what_an_earlier_release_left_unsent_sent(self):
        message_id = uuid4()
        services.queue({message_id: confirmed()}, now=NOON)
        Notification.objects.update(status="sending", useful_until=None)

        services.queue({message_id: confirmed()}, now=NOON)

        [first, second] = published(EmailQueued)
        assert first == second

    def test_suppresses_what_has_no_address(self):
        queue(confirmed(email=""))

        assert Notification.objects.values_list("status", "reason").get() == ("suppressed", "no_address")
        assert published(EmailQueued) == []

    @pytest.mark.parametrize(
        "end",
        [confirmed(), *(cancelled(reason) for reason in ("out_of_stock", "payment_failed", "expired", "by_customer"))],
    )
    def test_suppresses_a_reminder_after_the_order_ended(self, end):
        queue(end)

        queue(due_soon())

        reminder = Notification.objects.get(kind="payment_due_soon")
        assert (reminder.status, reminder.reason) == ("suppressed", "too_late")

    @pytest.mark.parametrize(("due", "status"), [(-1, "suppressed"), (0, "suppressed"), (1, "queued")])
    def test_suppresses_a_reminder_when_the_payment_is_due(self, due, status):
        queue(due_soon(due_at=(NOON + timedelta(seconds=due)).isoformat()))

        assert Notification.objects.get().status == status

    def test_costs_as_many_statements_for_two_hundred_as_for_two(self):
        with counting_statements() as for_two:
            queue(*[confirmed() for _ in range(2)])
        with counting_statements() as for_many:
            queue(*[confirmed() for _ in range(200)])

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert Notification.objects.count() == 202
        assert mail.outbox == []
