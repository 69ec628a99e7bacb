"""
What customers choose about their notifications, and what they get then.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest

from notifications import preferences
from notifications.models import Notification, Preference
from notifications.preferences import RequiredNotification, choose
from tests.notifications.events import cancelled, confirmed, due_soon, placed, queue, refunded
from tests.outbox import allowed_for_a_hundredfold, counting_statements
from tests.threads import at_once

pytestmark = pytest.mark.django_db

ADA, BOB = "17", "18"
PHONE = "+441134960001"
REQUIRED = {
    "order_confirmed",
    "out_of_stock",
    "payment_failed",
    "order_expired",
    "order_cancelled",
    "payment_refunded",
}


def notified() -> set[tuple[str, str, str]]:
    return set(Notification.objects.values_list("channel", "status", "reason"))


class TestChoose:
    def test_changes_what_the_customer_names_and_no_other(self):
        choose(ADA, {("payment_due_soon", "email"): False, ("order_confirmed", "sms"): True})
        choose(ADA, {("payment_due_soon", "sms"): False})

        changed = {(row.kind, row.channel): row.is_on for row in preferences.of_customer(ADA)}
        default = {(row.kind, row.channel): row.is_on for row in preferences.of_customer(BOB)}
        assert changed == default | {
            ("payment_due_soon", "email"): False,
            ("order_confirmed", "sms"): True,
            ("payment_due_soon", "sms"): False,
        }

    def test_stores_only_what_differs_from_the_default(self):
        choose(ADA, {("payment_due_soon", "email"): False, ("order_confirmed", "sms"): False})
        choose(ADA, {("payment_due_soon", "email"): False})
        assert Preference.objects.values_list("kind", "channel", "is_on").get() == ("payment_due_soon", "email", False)

        choose(ADA, {("payment_due_soon", "email"): True})
        assert not Preference.objects.exists()

    @pytest.mark.parametrize("kind", sorted(REQUIRED))
    def test_switches_off_nothing_that_the_contract_requires(self, kind):
        with pytest.raises(RequiredNotification):
            choose(ADA, {("payment_due_soon", "sms"): False, (kind, "email"): False})

        assert not Preference.objects.exists()

    def test_is_shown_without_sms_if_the_shop_sends_none(self, settings):
        settings.NOTIFICATIONS = replace(settings.NOTIFICATIONS, sms_backend="")

        assert {row.channel for row in preferences.of_customer(ADA)} == {"email"}


@pytest.mark.django_db(transaction=True)
def test_simultaneous_requests_of_a_customer_wait_for_one_another():
    names = [("payment_due_soon", "email"), ("payment_due_soon", "sms"), ("order_received", "email")]

    def toggle(names: Sequence[tuple[str, str]]) -> None:
        for turn in range(5):
            choose(ADA, dict.fromkeys(names, turn % 2 == 1))

    assert at_once(lambda: toggle(names), lambda: toggle(names[::-1])) == [None, None]
    assert Preference.objects.filter(is_on=False).count() == len(names)


class TestQueue:
    def test_suppresses_what_the_customer_switched_off(self):
        choose(ADA, {("payment_due_soon", "email"): False})

        queue(due_soon(phone=PHONE), due_soon(customer_id=BOB))

        assert set(Notification.objects.values_list("customer_id", "channel", "status", "reason")) == {
            (ADA, "email", "suppressed", "switched_off"),
            (ADA, "sms", "queued", ""),
            (BOB, "email", "queued", ""),
        }
        assert Notification.objects.get(status="suppressed").body

    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            (placed(phone=PHONE), "order_received"),
            (confirmed(phone=PHONE), "order_confirmed"),
            (cancelled("by_customer", phone=PHONE), "order_cancelled"),
            (refunded(phone=PHONE), "payment_refunded"),
        ],
    )
    def test_tells_by_sms_what_the_customer_switched_on(self, event, kind):
        queue(event)
        assert notified() == {("email", "queued", "")}

        choose(ADA, {(kind, "sms"): True})
        queue(event)
        assert notified() == {("email", "queued", ""), ("sms", "queued", "")}

    @pytest.mark.parametrize("event", [confirmed(), refunded(), *map(cancelled, ["expired", "by_operator"])])
    def test_sends_what_the_contract_requires_whatever_is_stored(self, event):
        """An earlier release may have offered it."""
        for kind, channel in product(preferences.TITLES, ["email", "sms"]):
            Preference.objects.create(customer_id=ADA, kind=kind, channel=channel, is_on=False)

        queue(event)

        assert notified() == {("email", "queued", "")}

    def test_knows_no_preferences_in_events_of_earlier_releases(self):
        queue(due_soon(customer_id=""))

        assert notified() == {("email", "queued", "")}

    def test_costs_as_many_statements_for_two_hundred_as_for_two(self):
        for number in range(200):
            choose(str(number), {("order_received", "sms"): True, ("order_received", "email"): False})
        counts = []
        for number in (2, 200):
            with counting_statements() as statements:
                queue(*[placed(customer_id=str(customer), phone=PHONE) for customer in range(number)])
            counts.append(len(statements))

        assert counts[1] <= allowed_for_a_hundredfold(counts[0])
        assert Notification.objects.filter(channel="sms", status="queued").count() == 202
