from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from django.core import mail
from django.db import transaction

from messaging.contracts import Event
from messaging.outbox import publish
from notifications.models import Notification
from tests.notifications.events import NOON, ORDER, died, notify, refunded
from tests.notifications.providers import PROVIDERS
from tests.outbox import allowed_for_a_hundredfold, announced, counting_statements
from tests.threads import at_once

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def publish_now(event: Event) -> None:
    with transaction.atomic():
        publish(event)


def statuses() -> list[str]:
    return list(Notification.objects.order_by("id").values_list("status", flat=True))


class TestMail:
    def test_says_what_died_and_what_to_do(self):
        notify(died())

        (message,) = mail.outbox
        assert message.to == ["olga@example.com"]
        assert message.subject == "Dead letter 4711: payments.take_payment failed for order K7Q4-M2X0"
        assert message.body == (
            "payments.take_payment could not handle orders.payment_requested of order K7Q4-M2X0: PaymentUnknown. It is "
            "not retried.\n"
            "\n"
            "The gateway never returned the state of a payment. Look it up there by the payment's id, then replay: the "
            "gateway is queried once more.\n"
            "\n"
            "  python manage.py trace_order K7Q4-M2X0\n"
            "  python manage.py list_dead_letters 4711\n"
            "  python manage.py replay_dead_letters 4711\n"
            "\n"
            "Its attempts with their tracebacks, and a button to discard it: "
            "http://127.0.0.1:8000/admin/messaging/delivery/4711/change/\n"
            "\n"
            "Further dead letters of this kind are counted, and reported once an hour at most.\n"
            "\n"
            "Ada's Chairs\n"
        )
        assert Notification.objects.values("kind", "order_id", "customer_id", "status").get() == {
            "kind": "dead_letter",
            "order_id": UUID(ORDER),
            "customer_id": "",
            "status": "accepted",
        }

    def test_names_the_key_of_a_message_that_is_about_no_order(self):
        about = {"subscriber": "orders.show_availability", "message_key": "RED-CHAIR", "order_id": "", "number": ""}
        notify(died(event_type="inventory.stock_depleted", error_class="KeyError", **about))

        (message,) = mail.outbox
        assert message.subject == "Dead letter 4711: orders.show_availability failed"
        assert "could not handle inventory.stock_depleted of RED-CHAIR: KeyError." in message.body
        assert "Read the traceback, remove the cause, then replay." in message.body
        assert "trace_order" not in message.body
        assert Notification.objects.get().order_id is None


class TestFlood:
    def test_of_one_error_sends_one_mail_an_hour_with_the_number_so_far(self):
        notify(*(died(delivery_id=str(number)) for number in range(3)))
        notify(died(delivery_id="3"), now=NOON + HOUR / 2)
        notify(died(delivery_id="4"), now=NOON + HOUR)

        first, second = mail.outbox
        assert "In the last 24 hours 3 deliveries to it died of this error." in first.body
        assert "In the last 24 hours 5 deliveries to it died of this error." in second.body
        assert "replay_dead_letters --subscriber payments.take_payment --error PaymentUnknown\n" in second.body
        assert statuses() == ["accepted", "suppressed", "suppressed", "suppressed", "accepted"]

    def test_of_another_error_or_subscriber_has_its_own_mail(self):
        notify(died(), died(fingerprint="0123456789abcdef"), died(subscriber="payments.ask_again"))

        assert len(mail.outbox) == 3

    def test_costs_as_many_statements_for_two_hundred_as_for_two(self):
        with counting_statements() as for_two:
            notify(*[died() for _ in range(2)])
        with counting_statements() as for_many:
            notify(*[died() for _ in range(200)], now=NOON + HOUR / 2)

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))

    @pytest.mark.django_db(transaction=True)
    def test_that_two_workers_see_at_once_sends_one_mail(self):
        at_once(lambda: notify(died(delivery_id="1")), lambda: notify(died(delivery_id="2")))

        assert sorted(statuses()) == ["accepted", "suppressed"]


class TestMailThatCannotBeSent:
    @pytest.fixture(autouse=True)
    def _defect(self, settings):
        settings.EMAIL_BACKEND = f"{PROVIDERS}.BreaksOnBob"
        settings.MESSAGING = replace(settings.MESSAGING, max_attempts=1)

    def test_to_a_customer_alerts_the_operator(self, drain):
        publish_now(refunded(email="bob@example.com"))

        drain()

        (message,) = mail.outbox
        assert message.to == ["olga@example.com"]
        assert message.subject.endswith(f": notifications.send_email failed for order {ORDER}")

    def test_to_the_operator_alerts_nobody_again(self, drain, settings):
        settings.SHOP = replace(settings.SHOP, operator_email="bob@example.com")
        publish_now(refunded(email="bob@example.com"))

        drain(after=2 * HOUR)

        assert announced()["notifications.email_queued"] == 2
        assert Notification.objects.values_list("kind", "reason").last() == ("dead_letter", "repeated")
