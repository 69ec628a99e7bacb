from dataclasses import replace

import pytest
from django.core import mail

from notifications.models import Notification
from tests.notifications.events import ORDER, anomaly, notify

pytestmark = pytest.mark.django_db

REFUNDED = (
    "45.00 GBP (ch_1) is refunded to the customer automatically. "
    "You need to act only if the gateway rejects the refund."
)
REFUSED = "45.00 GBP could not be refunded{}. Refund it again in the admin, or pay it back another way."
DISPUTED = (
    "It reports 45.00 GBP (ch_1). It was not applied: look the payment up at the gateway. The shop queries the "
    "gateway when the payment is due; then replay the dead letter."
)
UNCONFIRMED = (
    "Our books have 45.00 GBP (ch_1), the gateway's statement does not. Hold the goods back and look the payment up at "
    "the gateway. If it was not paid, the webhook secret may have leaked: change it. From now on the gateway is "
    "queried about every webhook again."
)

HISTORY = (
    "The history of the order:\n\n"
    "  python manage.py trace_order {}\n"
    f"  http://127.0.0.1:8000/admin/orders/order/{ORDER}/change/"
)


class TestMailToTheOperator:
    @pytest.mark.parametrize(
        ("kind", "detail", "subject", "sentence"),
        [
            ("paid_late", "ch_1", "A payment arrived after its order had ended", REFUNDED),
            ("paid_twice", "ch_1", "An order was paid twice", REFUNDED),
            ("mismatch", "ch_1", "A payment differs from the total of its order", REFUNDED),
            ("refund_refused", "ch_1", "The gateway rejected a refund", REFUSED.format(" (ch_1)")),
            ("refund_refused", "", "The gateway rejected a refund", REFUSED.format("")),
            ("disputed_webhook", "ch_1", "A webhook reports an amount that differs from its order", DISPUTED),
            ("unconfirmed_capture", "ch_1", "The gateway does not confirm a payment", UNCONFIRMED),
        ],
    )
    def test_explains_the_anomaly(self, kind, detail, subject, sentence):
        notify(anomaly(kind, detail=detail, number="K7Q4-M2X0"))

        (message,) = mail.outbox
        assert (message.to, message.subject) == (["olga@example.com"], f"{subject}: K7Q4-M2X0")
        assert message.body == f"{sentence}\n\n{HISTORY.format('K7Q4-M2X0')}\n\nAda's Chairs\n"

    def test_names_the_order_by_its_id_if_an_earlier_release_published_the_anomaly(self):
        notify(anomaly("paid_late"))

        (message,) = mail.outbox
        assert message.subject.endswith(f": {ORDER}")
        assert HISTORY.format(ORDER) in message.body

    def test_is_stored_but_not_sent_without_an_operator_address(self, settings):
        settings.SHOP = replace(settings.SHOP, operator_email="")

        notify(anomaly("paid_late"))

        assert mail.outbox == []
        assert Notification.objects.values_list("kind", "status").get() == ("payment_anomaly", "suppressed")
