from uuid import uuid4

import pytest
from django.core import mail

from messaging.subscribers import PartlyUnavailable, Permanent
from notifications import services
from notifications.models import Notification
from tests.notifications.events import NOON, ORDER, cancelled, confirmed, due_soon, notify, refunded
from tests.notifications.providers import PROVIDERS
from tests.outbox import allowed_for_a_hundredfold, counting_statements

pytestmark = pytest.mark.django_db

NOT_CHARGED = "You have not been charged."
MAY_BE_PAID = "If any of the 12,345.67 GBP was already paid, it is refunded automatically."


def statuses() -> dict[str, str]:
    return dict(Notification.objects.values_list("recipient", "status"))


class TestMailToTheCustomer:
    def test_lists_a_confirmed_order(self):
        notify(confirmed())

        (message,) = mail.outbox
        assert (message.to, message.subject) == (["ada@example.com"], f"Your order {ORDER} is confirmed")
        assert message.body == (
            "Thank you for your order. We have received your payment:\n"
            "\n"
            "  2 x Red chair (RED-CHAIR) at 45.00 GBP\n"
            "  1 x Mug <& more> (MUG) at 0.00 GBP\n"
            "\n"
            "Total: 90.00 GBP\n"
            "\n"
            "Ada's Chairs\n"
        )

    @pytest.mark.parametrize(
        ("reason", "sentence", "if_payment_requested"),
        [
            ("out_of_stock", "We are sorry: we do not have enough of what you ordered.", NOT_CHARGED),
            ("payment_failed", "Your payment did not succeed.", MAY_BE_PAID),
            ("expired", "We did not receive your payment in time.", MAY_BE_PAID),
            ("by_customer", "You asked us to cancel it.", MAY_BE_PAID),
            ("by_operator", "The shop had to cancel it.", MAY_BE_PAID),
        ],
    )
    @pytest.mark.parametrize("payment_requested", [False, True])
    def test_explains_a_cancellation(self, reason, sentence, payment_requested, if_payment_requested):
        notify(cancelled(reason, payment_requested=payment_requested))

        (message,) = mail.outbox
        charge = if_payment_requested if payment_requested else NOT_CHARGED
        assert message.subject == f"Your order {ORDER} is cancelled"
        assert message.body == f"{sentence}\n\n{charge}\n\nAda's Chairs\n"

    def test_reminds_of_a_payment_that_is_due_soon(self):
        notify(due_soon())

        (message,) = mail.outbox
        assert message.subject == f"Your order {ORDER} is awaiting payment"
        assert message.body == (
            "Please complete your payment of 9,000 JPY soon. We hold the goods for you until then; an\n"
            "order that is not paid in time is cancelled.\n"
            "\n"
            "Ada's Chairs\n"
        )

    @pytest.mark.parametrize(("fields", "explanation"), [({}, ""), ({"reason": "paid twice"}, " (paid twice)")])
    def test_states_the_amount_and_reason_of_a_refund(self, fields, explanation):
        notify(refunded(**fields))

        (message,) = mail.outbox
        assert message.subject == f"A refund for your order {ORDER}"
        assert message.body == f"We have refunded 0.50 EUR the way you paid{explanation}.\n\nAda's Chairs\n"


class TestNotify:
    def test_sends_one_mail_for_a_repeated_message(self):
        events = {uuid4(): confirmed()}

        services.notify(events, now=NOON)
        services.notify(events, now=NOON)

        assert len(mail.outbox) == 1

    def test_sends_nothing_without_an_address(self):
        notify(confirmed(email=""))

        assert statuses() == {"": "suppressed"}
        assert mail.outbox == []

    @pytest.mark.parametrize("end", [confirmed(), cancelled("expired")], ids=["confirmed", "cancelled"])
    def test_sends_no_reminder_after_the_order_ended(self, end):
        notify(end)
        mail.outbox.clear()

        notify(due_soon())

        assert mail.outbox == []
        assert Notification.objects.get(kind="payment_due_soon").status == "suppressed"

    @pytest.mark.parametrize(
        ("provider", "error"),
        [("RefusesBob", Permanent), ("DownForBob", PartlyUnavailable), ("BreaksOnBob", ValueError)],
    )
    def test_sends_to_the_others_if_one_recipient_fails(self, settings, provider, error):
        settings.EMAIL_BACKEND = f"{PROVIDERS}.{provider}"

        with pytest.raises(error):
            notify(confirmed(), confirmed(email="bob@example.com"), confirmed(email="eve@example.com"))

        assert statuses() == {
            "ada@example.com": "accepted",
            "bob@example.com": "sending",
            "eve@example.com": "accepted",
        }
        assert sorted(message.to for message in mail.outbox) == [["ada@example.com"], ["eve@example.com"]]

    def test_rejects_a_malformed_address_for_good(self):
        with pytest.raises(Permanent):
            notify(confirmed(email="ada@@example.com"))

    def test_costs_as_many_statements_for_two_hundred_as_for_two(self):
        with counting_statements() as for_two:
            notify(*[confirmed() for _ in range(2)])
        with counting_statements() as for_many:
            notify(*[confirmed() for _ in range(200)])

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert len(mail.outbox) == 202
