from uuid import uuid4

import pytest
from msgspec.structs import replace

from messaging.contracts import OrderCancelled, PaymentOverdue
from payments import handlers
from payments.models import PaymentIntent

pytestmark = pytest.mark.django_db

DUE = {"order_id": str(uuid4()), "currency": "GBP", "customer_id": "17"}
OVERDUE = PaymentOverdue(**DUE, amount=4_500)
CANCELLED = OrderCancelled(**DUE, total=4_500, reason="by_customer", payment_requested=True, email="ada@example.com")


class TestHandlers:
    def test_stop_nothing_when_no_payment_was_requested(self):
        handlers.stop_payment([replace(CANCELLED, payment_requested=False)])

        assert not PaymentIntent.objects.exists()

    @pytest.mark.parametrize(
        ("handler", "event"), [(handlers.stop_payment, CANCELLED), (handlers.settle_overdue, OVERDUE)]
    )
    def test_store_the_customer_of_a_payment_that_ended_before_its_request(self, handler, event):
        handler([event])

        intent = PaymentIntent.objects.get()
        assert (intent.status, intent.amount, intent.customer_id) == ("cancelled", 4_500, "17")
