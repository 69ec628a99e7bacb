from dataclasses import replace
from uuid import UUID

import pytest
from django.core import mail

from notifications.models import Notification
from tests.notifications.test_services import ORDER, anomaly, notify

pytestmark = pytest.mark.django_db

GOES_BACK = (
    "45.00 GBP (ch_1) goes back to the customer by itself; there is nothing to do unless the gateway refuses that."
)
REFUSED = "45.00 GBP could not be given back{}. Refund it again in the admin, or give it back another way."
DISPUTED = (
    "It claims 45.00 GBP (ch_1). Nothing was done about it: look the payment up at the gateway. The shop asks the "
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
            ("paid_late", "Money came for an order that was over", GOES_BACK),
            ("paid_twice", "An order was paid twice", GOES_BACK),
            ("mismatch", "Another amount was paid than an order costs", GOES_BACK),
            ("refund_refused", "The gateway refused a refund", REFUSED.format(" (ch_1)")),
            ("disputed_webhook", "A webhook claims another amount than an order costs", DISPUTED),
        ],
    )
    def test_of_money_that_is(self, kind, subject, sentence):
        notify(anomaly(kind))

        (sent,) = mail.outbox
        assert (sent.to, sent.subject) == (["olga@example.com"], f"{subject}: {ORDER}")
        assert sent.body == f"{sentence}\n\nOrder {ORDER}: manage.py trace_order tells its story.\n\nAda's Chairs\n"

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
