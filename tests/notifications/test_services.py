from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from django.core import mail

from messaging import contracts
from messaging.subscribers import PartlyUnavailable, Permanent
from notifications import services
from notifications.models import Notification
from tests.outbox import allowed_for_a_hundredfold, counting_statements

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
ORDER = "01900000-0000-7000-8000-000000000001"
PROVIDERS = "tests.notifications.providers"


def confirmed(**changes: object) -> contracts.OrderConfirmed:
    lines = (
        contracts.ConfirmedLine(sku="RED-CHAIR", name="Red chair", quantity=2, unit_price=4_500),
        contracts.ConfirmedLine(sku="MUG", name="Mug <& more>", quantity=1, unit_price=0),
    )
    fields = {"order_id": ORDER, "lines": lines, "email": "ada@example.com", "customer_id": "17"}
    return contracts.OrderConfirmed(total=9_000, currency="GBP", **fields | changes)


def cancelled(reason: str, *, payment_requested: bool = False) -> contracts.OrderCancelled:
    return contracts.OrderCancelled(
        order_id=ORDER,
        reason=reason,
        payment_requested=payment_requested,
        total=1_234_567,
        currency="GBP",
        email="ada@example.com",
        customer_id="17",
    )


def due_soon() -> contracts.PaymentDueSoon:
    return contracts.PaymentDueSoon(
        order_id=ORDER, amount=9_000, currency="JPY", email="ada@example.com", customer_id="17"
    )


def refunded(**changes: object) -> contracts.PaymentRefunded:
    fields = {"email": "ada@example.com", "customer_id": "17"}
    return contracts.PaymentRefunded(
        order_id=ORDER, refund_id=str(uuid4()), amount=50, currency="EUR", **fields | changes
    )


def anomaly(kind: str, *, detail: str = "ch_1") -> contracts.PaymentAnomalyFound:
    return contracts.PaymentAnomalyFound(order_id=ORDER, anomaly=kind, amount=4_500, currency="GBP", detail=detail)


def notify(*events: services.Notifiable) -> None:
    services.notify({uuid4(): event for event in events}, now=NOON)


def outcomes() -> dict[str, str]:
    return dict(Notification.objects.values_list("recipient", "status"))


class TestWhatIsSaid:
    @pytest.fixture(autouse=True)
    def _named(self, settings):
        settings.SHOP = replace(settings.SHOP, name="Ada's Chairs")

    def test_of_a_confirmed_order(self):
        notify(confirmed())

        (sent,) = mail.outbox
        assert (sent.to, sent.subject) == (["ada@example.com"], f"Your order {ORDER} is confirmed")
        assert sent.body == (
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
        ("reason", "sentence"),
        [
            ("out_of_stock", "We are sorry: we do not have enough of what you ordered."),
            ("payment_failed", "Your payment did not succeed."),
            ("expired", "We did not receive your payment in time."),
            ("by_customer", "You asked us to cancel it."),
            ("by_operator", "The shop had to cancel it."),
        ],
    )
    def test_of_an_order_cancelled_because(self, reason, sentence):
        notify(cancelled(reason))

        (sent,) = mail.outbox
        assert sent.subject == f"Your order {ORDER} is cancelled"
        assert sent.body == f"{sentence}\n\nYou have not been charged.\n\nAda's Chairs\n"

    def test_of_an_order_whose_goods_were_not_there_after_all(self):
        notify(cancelled("out_of_stock", payment_requested=True))

        assert mail.outbox[0].body == (
            "We are sorry: we do not have enough of what you ordered.\n\nYou have not been charged.\n\nAda's Chairs\n"
        )

    @pytest.mark.parametrize(
        ("reason", "sentence"),
        [
            ("payment_failed", "Your payment did not succeed."),
            ("expired", "We did not receive your payment in time."),
            ("by_customer", "You asked us to cancel it."),
            ("by_operator", "The shop had to cancel it."),
        ],
    )
    def test_of_an_order_that_may_have_been_paid_when_it_was_cancelled(self, reason, sentence):
        notify(cancelled(reason, payment_requested=True))

        assert mail.outbox[0].body == (
            f"{sentence}\n"
            "\n"
            "If any of the 12,345.67 GBP was already paid, it is refunded automatically.\n"
            "\n"
            "Ada's Chairs\n"
        )

    def test_of_a_payment_that_is_due_soon(self):
        notify(due_soon())

        (sent,) = mail.outbox
        assert sent.subject == f"Your order {ORDER} is awaiting payment"
        assert sent.body == (
            "Please complete your payment of 9,000 JPY soon. We hold the goods for you until then; an\n"
            "order that is not paid in time is cancelled.\n"
            "\n"
            "Ada's Chairs\n"
        )

    def test_of_a_refund(self):
        notify(refunded())

        (sent,) = mail.outbox
        assert sent.subject == f"A refund for your order {ORDER}"
        assert sent.body == "We have refunded 0.50 EUR the way you paid.\n\nAda's Chairs\n"

    def test_of_a_refund_and_why(self):
        notify(refunded(reason="paid twice"))

        assert mail.outbox[0].body == ("We have refunded 0.50 EUR the way you paid (paid twice).\n\nAda's Chairs\n")


class TestNotify:
    def test_records_what_the_provider_accepted(self):
        message_id = uuid4()

        services.notify({message_id: confirmed()}, now=NOON)

        assert Notification.objects.values(
            "message_id", "order_id", "kind", "channel", "recipient", "status", "subject", "created_at", "accepted_at"
        ).get() == {
            "message_id": message_id,
            "order_id": UUID(ORDER),
            "kind": "order_confirmed",
            "channel": "email",
            "recipient": "ada@example.com",
            "status": "accepted",
            "subject": f"Your order {ORDER} is confirmed",
            "created_at": NOON,
            "accepted_at": NOON,
        }

    def test_says_a_thing_once_however_often_it_is_told(self):
        events = {uuid4(): confirmed()}

        services.notify(events, now=NOON)
        services.notify(events, now=NOON)

        assert len(mail.outbox) == 1

    def test_says_nothing_where_there_is_no_address(self):
        notify(confirmed(email=""))

        assert outcomes() == {"": "suppressed"}
        assert mail.outbox == []

    @pytest.mark.parametrize("end", [confirmed(), cancelled("expired")], ids=["confirmed", "cancelled"])
    def test_reminds_nobody_whose_order_has_ended(self, end):
        notify(end)
        mail.outbox.clear()

        notify(due_soon())

        assert mail.outbox == []
        assert Notification.objects.get(kind="payment_due_soon").status == "suppressed"

    def test_says_it_later_when_the_provider_is_down(self, settings):
        events = {uuid4(): confirmed()}
        settings.EMAIL_BACKEND = f"{PROVIDERS}.Down"
        with pytest.raises(PartlyUnavailable, match="nobody listens"):
            services.notify(events, now=NOON)
        assert outcomes() == {"ada@example.com": "sending"}

        settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"
        services.notify(events, now=NOON)

        assert outcomes() == {"ada@example.com": "accepted"}
        assert len(mail.outbox) == 1

    @pytest.mark.parametrize(
        ("provider", "failure"),
        [("RefusesBob", Permanent), ("DownForBob", PartlyUnavailable), ("BreaksOnBob", ValueError)],
    )
    def test_tells_the_others_when_one_cannot_be_told(self, settings, provider, failure):
        settings.EMAIL_BACKEND = f"{PROVIDERS}.{provider}"

        with pytest.raises(failure):
            notify(confirmed(), confirmed(email="bob@example.com"), confirmed(email="eve@example.com"))

        assert outcomes() == {
            "ada@example.com": "accepted",
            "bob@example.com": "sending",
            "eve@example.com": "accepted",
        }
        assert sorted(sent.to for sent in mail.outbox) == [["ada@example.com"], ["eve@example.com"]]

    def test_gives_up_an_address_that_is_none(self):
        with pytest.raises(Permanent):
            notify(confirmed(email="ada@@example.com"))

    def test_costs_as_many_statements_for_two_hundred_as_for_two(self):
        with counting_statements() as for_two:
            notify(*[confirmed() for _ in range(2)])
        with counting_statements() as for_many:
            notify(*[confirmed() for _ in range(200)])

        assert len(for_many) <= allowed_for_a_hundredfold(len(for_two))
        assert len(mail.outbox) == 202
