import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client

from notifications import erasure, suppressions
from notifications.models import Notification, Suppression
from shop.operations.audit.notifications import every_notification_is_sent
from tests.notifications.events import NOON, confirmed, make_notification, notify, queue, send_queued
from tests.notifications.providers import PROVIDERS
from tests.operators import act, operator_who_may, page
from tests.outbox import allowed_for_a_hundredfold, counting_statements

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Suppression:
    """
    The entry of Ada, whose address bounced.
    """
    return listed(make_notification(confirmed(email="Ada@Example.com")))


def listed(notification: Notification) -> Suppression:
    suppressions.add({notification: Suppression.Reason.BOUNCED}, now=NOON)
    return Suppression.objects.get(notification=notification)


class TestList:
    def test_holds_back_what_is_queued_to_its_recipients_however_they_are_written(self, ada):
        queue(confirmed(email="ADA@example.com"), confirmed(email="bob@example.com"))

        assert list(Notification.objects.order_by("pk").values_list("status", "reason"))[1:] == [
            ("suppressed", "listed"),
            ("queued", ""),
        ]

    @pytest.mark.parametrize(
        ("before", "after"), [("queued", "suppressed"), ("sending", "failed"), ("unknown", "unknown")]
    )
    def test_holds_back_what_was_queued_before(self, before, after):
        queue(confirmed())
        notification = Notification.objects.get()
        listed(notification)
        Notification.objects.update(status=before)

        send_queued(Notification.Channel.EMAIL)

        assert Notification.objects.values_list("status", "reason").get() == (after, "listed")
        assert mail.outbox == []
        assert every_notification_is_sent(NOON).violating.count() == 0

    def test_has_one_entry_with_the_first_reason(self, ada):
        again = make_notification(confirmed(email="bob@example.com"))
        Notification.objects.update(recipient="ada@EXAMPLE.com")
        again.refresh_from_db()

        suppressions.add({again: Suppression.Reason.COMPLAINED}, now=NOON)

        assert Suppression.objects.values_list("recipient", "reason").get() == ("ada@example.com", "bounced")

    def test_gets_recipients_who_have_no_mailbox(self, settings):
        settings.EMAIL_BACKEND = f"{PROVIDERS}.RefusesBob"

        notify(confirmed(), confirmed(email="bob@example.com"))

        entry = Suppression.objects.get()
        assert (entry.channel, entry.recipient, entry.reason) == ("email", "bob@example.com", "bounced")
        assert entry.notification.recipient == "bob@example.com"

    def test_costs_as_many_statements_for_two_hundred_as_for_two(self):
        notify(*[confirmed(email=f"c{number}@example.com") for number in range(202)])
        rows = list(Notification.objects.order_by("pk"))

        with counting_statements() as for_two:
            suppressions.add(dict.fromkeys(rows[:2], "bounced"), now=NOON)
            suppressions.listed_among(rows[:2])
        with counting_statements() as for_many:
            suppressions.add(dict.fromkeys(rows[2:], "bounced"), now=NOON)
            suppressions.listed_among(rows[2:])

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))


class TestOperator:
    @pytest.fixture
    def operator(self) -> Client:
        rights = ("view_notification", "change_notification", "view_suppression", "delete_suppression")
        return operator_who_may(*(f"notifications.{right}" for right in rights))

    def test_finds_an_entry_by_the_whole_address(self, operator, ada):
        found = operator.get(page(Suppression), {"q": " ADA@example.com "}).content.decode()
        not_found = operator.get(page(Suppression), {"q": "ada"}).content.decode()

        assert f"?q={ada.notification_id}" in found
        assert f"?q={ada.notification_id}" not in not_found

    def test_lifts_an_entry_and_then_sends_again(self, operator, ada, drain):
        notification = ada.notification
        Notification.objects.update(status="bounced")

        assert "lift those entries first" in act(operator, "resend", notification)
        assert Notification.objects.get().status == "bounced"

        operator.post(page(Suppression, "delete", ada.pk), {"post": "yes"})
        assert "Queued 1 notification again." in act(operator, "resend", notification)
        drain()

        assert Notification.objects.get().status == "accepted"
        assert not LogEntry.objects.filter(object_repr__icontains="example.com").exists()

    def test_needs_a_permission_to_lift(self, ada):
        operator = operator_who_may("notifications.view_suppression")

        assert operator.post(page(Suppression, "delete", ada.pk), {"post": "yes"}).status_code == 403
        assert operator.get(page(Suppression, "change", ada.pk)).status_code == 200
        assert Suppression.objects.exists()


def test_is_empty_after_its_recipient_was_erased(ada):
    make_notification(confirmed(email="bob@example.com", order_id="01900000-0000-7000-8000-000000000002"))
    order_id = ada.notification.order_id

    assert {name: rows.count() for name, rows in erasure.contact_data([order_id]).items()}["suppressions"] == 1
    erasure.erase([order_id])

    assert not Suppression.objects.exists()
    assert erasure.contact_data([order_id])["suppressions"].count() == 0
