from dataclasses import replace
from datetime import timedelta

import pytest
from django.core import mail

from messaging.contracts import EmailQueued
from notifications.models import Notification, QueuedInMinute
from tests.notifications.events import NOON, anomaly, confirmed, died, placed, queue, send_queued
from tests.operators import act, page
from tests.outbox import allowed_for_a_hundredfold, counting_statements, published
from tests.threads import at_once

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def cap(settings):
    """Set the caps; the others are off."""

    def cap(**caps: int) -> None:
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, per_recipient_per_hour=0, per_hour=0)
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, **caps)

    return cap


def to_many(number: int) -> list[object]:
    return [confirmed(email=f"c{index}@example.com") for index in range(number)]


def queued() -> int:
    return for_customers().filter(status="queued").count()


def for_customers():
    return Notification.objects.exclude(kind__in=Notification.FOR_OPERATOR)


def reasons() -> list[str]:
    return list(for_customers().order_by("pk").values_list("reason", flat=True))


class TestRecipient:
    def test_gets_so_many_within_an_hour(self, cap):
        cap(per_recipient_per_hour=2)

        for minutes in (0, 30, 59, 61):
            queue(confirmed(), now=NOON + timedelta(minutes=minutes))

        assert reasons() == ["", "", "recipient_cap", ""]

    def test_gets_so_many_of_one_set(self, cap):
        cap(per_recipient_per_hour=2)

        queue(confirmed(), confirmed(email="bob@example.com"), confirmed(), confirmed())

        assert reasons() == ["", "", "", "recipient_cap"]
        assert len([event for event in published(EmailQueued) if event.order_id]) == 3

    @pytest.mark.parametrize("in_one_set", [True, False])
    def test_gets_of_the_last_fifth_only_what_the_contract_requires(self, cap, in_one_set):
        cap(per_recipient_per_hour=10)
        optional, required = [placed() for _ in range(20)], [confirmed() for _ in range(5)]

        for events in [[*optional, *required]] if in_one_set else [optional, required]:
            queue(*events)

        kinds = list(for_customers().filter(status="queued").values_list("kind", flat=True))
        of_optional = 3 if in_one_set else 8
        assert (kinds.count("order_received"), kinds.count("order_confirmed")) == (
            of_optional,
            min(5, 10 - of_optional),
        )

    def test_is_not_charged_for_what_was_not_sent(self, cap):
        cap(per_recipient_per_hour=1)
        queue(confirmed())
        Notification.objects.update(status="suppressed", reason="listed")

        queue(confirmed())

        assert reasons() == ["listed", ""]


class TestAllRecipients:
    def test_get_so_many_within_an_hour(self, cap):
        cap(per_hour=3)

        queue(*to_many(2), now=NOON)
        queue(*to_many(2), now=NOON + timedelta(minutes=59))
        queue(*to_many(2), now=NOON + timedelta(minutes=60))

        assert reasons() == ["", "", "", "total_cap", "", ""]

    def test_are_counted_anew_when_a_minute_comes_again(self, cap):
        cap(per_hour=100)

        queue(*to_many(2), now=NOON)
        queue(*to_many(1), now=NOON + timedelta(seconds=59))
        assert QueuedInMinute.objects.values_list("minute", "began_at", "number").get() == (0, NOON, 3)

        queue(*to_many(1), now=NOON + HOUR)
        assert QueuedInMinute.objects.values_list("minute", "began_at", "number").get() == (0, NOON + HOUR, 1)


class TestOperator:
    def test_is_alerted_once_an_hour(self, cap):
        cap(per_recipient_per_hour=1)

        for minutes in (0, 1, 2, 30, 62, 63):
            queue(confirmed(), confirmed(), now=NOON + timedelta(minutes=minutes))
        send_queued(Notification.Channel.EMAIL, now=NOON + HOUR)

        alerts = [message for message in mail.outbox if message.to == ["olga@example.com"]]
        assert [alert.subject for alert in alerts] == [
            "Notifications are held back: one recipient got 1 within an hour"
        ] * 2
        assert alerts[0].body == (
            "1 notification is suppressed. NOTIFICATIONS_PER_RECIPIENT_PER_HOUR is 1. They are not sent later by "
            "themselves.\n"
            "\n"
            "Find out what queues so many. If they are wanted, raise the setting, restart the workers, and choose "
            '"Send again" for them in the admin:\n'
            "\n"
            "  http://127.0.0.1:8000/admin/notifications/notification/?reason__exact=recipient_cap\n"
            "\n"
            "Further ones are suppressed without another mail for an hour.\n"
            "\n"
            "Ada's Chairs\n"
        )

    def test_gets_alerts_of_dead_letters_and_caps_beyond_each_cap(self, cap):
        cap(per_recipient_per_hour=1, per_hour=1)

        queue(died())
        queue(anomaly("late_capture"), anomaly("late_capture"))

        rows = Notification.objects.order_by("kind", "pk").values_list("kind", "reason")
        assert list(rows) == [
            ("cap_reached", ""),
            ("dead_letter", ""),
            ("payment_anomaly", ""),
            ("payment_anomaly", "recipient_cap"),
        ]

    def test_sees_what_is_held_back_and_sends_it_again(self, cap, admin_client, drain):
        cap(per_recipient_per_hour=1)
        queue(confirmed(), confirmed())
        held_back = Notification.objects.get(reason="recipient_cap")

        assert str(held_back.pk) in admin_client.get(page(Notification), {"reason": "recipient_cap"}).content.decode()
        assert "Queued 1 notification again." in act(admin_client, "resend", held_back)
        drain()

        assert Notification.objects.get(pk=held_back.pk).status == "accepted"


class TestCost:
    def test_is_as_many_statements_for_two_hundred_as_for_two(self, cap):
        cap(per_recipient_per_hour=1_000, per_hour=1_000)

        with counting_statements() as for_two:
            queue(*to_many(2))
        with counting_statements() as for_many:
            queue(*to_many(200))

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))

    def test_is_three_statements_for_both_caps_and_none_without(self, cap):
        with counting_statements() as without:
            queue(*to_many(2))
        cap(per_recipient_per_hour=1_000, per_hour=1_000)
        with counting_statements() as with_caps:
            queue(*to_many(2))

        assert len(with_caps) - len(without) == 3


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    @pytest.mark.parametrize("name", ["per_recipient_per_hour", "per_hour"])
    def test_exceeds_no_cap_by_sets_that_fill_more_than_half_of_it(self, cap, name):
        cap(**{name: 100})

        results = at_once(*[lambda: queue(*[confirmed() for _ in range(60)])] * 4)

        assert results == [None] * 4
        assert queued() == 100
        assert Notification.objects.filter(kind="cap_reached").count() == 1

    @pytest.mark.parametrize("name", ["per_recipient_per_hour", "per_hour"])
    def test_exceeds_a_cap_by_less_than_half_of_it_for_each_smaller_set(self, cap, name):
        cap(**{name: 100})

        at_once(*[lambda: queue(*[confirmed() for _ in range(50)])] * 4)

        assert 100 <= queued() < 100 + 4 * 50
        queue(confirmed())
        assert reasons()[-1]
