from dataclasses import replace
from uuid import UUID

import pytest
from django.core import mail

from notifications.models import Notification
from tests.notifications.test_services import ORDER, anomaly, notify

pytestmark = pytest.mark.django_db

GOES_BACK = (
    "45.00 GBP (ch_1) is refunded to the customer automatically. "
    "You need to act only if the gateway rejects the refund."
)
REFUSED = "45.00 GBP could not be refunded{}. Refund it again in the admin, or pay it back another way."
DISPUTED = (
    "It reports 45.00 GBP (ch_1). It was not applied: look the payment up at the gateway. The shop queries the "
    "gateway when the payment is due; then replay the dead letter."
)


@pytest.fixture(autouse=True)
def _named(settings):
    settings.SHOP = replace(settings.SHOP, name="Ada's Chairs")
    settings.SHOP = replace(settings.SHOP, operator_email="olga@example.com")


class TestWhatTheOperatorIsTold:
    @pytest.mark.parametrize(
        ("kind", "subject", "sentence"),
        [
            ("paid_late", "A payment arrived after its order had ended", GOES_BACK),
            ("paid_twice", "An order was paid twice", GOES_BACK),
            ("mismatch", "A payment differs from the total of its order", GOES_BACK),
            ("refund_refused", "The gateway rejected a refund", REFUSED.format(" (ch_1)")),
            ("disputed_webhook", "A webhook reports an amount that differs from its order", DISPUTED),
        ],
    )
    def test_of_money_that_is(self, kind, subject, sentence):
        notify(anomaly(kind))

        (sent,) = mail.outbox
        assert (sent.to, sent.subject) == (["olga@example.com"], f"{subject}: {ORDER}")
        assert sent.body == f"{sentence}\n\nOrder {ORDER}: run manage.py trace_order for its history.\n\nAda's Chairs\n"

    def test_of_a_refund_that_was_refused_for_no_reason(self):
        notify(anomaly("refund_refused", detail=""))

        assert mail.outbox[0].body.startswith(f"{REFUSED.format('')}\n")

    def test_is_kept_from_every_customer(self):
        notify(anomaly("paid_twice"))

        kept = Notification.objects.values("order_id", "customer_id", "kind", "recipient", "status").get()
        assert kept == {
            "order_id": UUID(ORDER),
            "customer_id": "",
            "kind": "payment_anomaly",
            "recipient": "olga@example.com",
            "status": "accepted",
        }

    def test_is_only_written_down_where_no_operator_has_an_address(self, settings):
        settings.SHOP = replace(settings.SHOP, operator_email="")

        notify(anomaly("paid_late"))

        assert mail.outbox == []
        assert Notification.objects.values_list("kind", "status").get() == ("payment_anomaly", "suppressed")
