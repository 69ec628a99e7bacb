"""Money that was captured twice, or is refunded only in our books, numbered as in the list of failures."""

import pytest
from django.utils import timezone

from payments.models import PaymentIntent
from tests.factories import make_stock
from tests.journeys.orders import history_of, mail_kinds, place, stock
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows
from tests.payments.scenes import charge_elsewhere, deliver, request_refund

pytestmark = pytest.mark.django_db

KEPT, SURPLUS = CaptureRow(4_500), CaptureRow(4_500, surplus=True, returned=4_500)
TWICE = RefundRow(4_500, "succeeded", "paid twice")


class TestF14UnfinishedRefunds:
    def test_a_refused_one_does_not_count_until_it_is_requested_again(self, api, drain, ledger):
        make_stock(1)
        order = place(api, payment_method="tok_refund_declined")
        drain()
        order_id = PaymentIntent.objects.get().order_id
        request_refund(order_id, 4_500)

        drain()
        assert (history_of(api, order)[-1], api.get(order).json()["refunded"]) == ("confirmed", 0)
        assert mail_kinds() == ["order_confirmed", "payment_anomaly"]

        request_refund(order_id, 4_500)
        drain()
        assert (history_of(api, order)[-1], api.get(order).json()["refunded"]) == ("refunded", 4_500)
        assert refund_rows() == [RefundRow(4_500, "failed"), RefundRow(4_500, "succeeded")]
        assert mail_kinds()[2:] == ["payment_refunded"]


class TestF16PaidTwice:
    def test_the_first_is_kept_and_all_others_are_refunded(self, api, drain, ledger):
        make_stock(1)
        order = place(api)
        drain()
        intent = PaymentIntent.objects.get()
        for key in ("second", "third"):
            deliver(charge_elsewhere(ledger, intent, key=key), now=timezone.now())
            drain()

        assert capture_rows() == [KEPT, SURPLUS, SURPLUS]
        assert refund_rows() == [TWICE, TWICE]
        assert [refund.charge for refund in ledger.refunded.values()] == ["second", "third"]
        assert history_of(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (api.get(order).json()["refunded"], stock()) == (0, (0, 0))
        assert sorted(mail_kinds()) == ["order_confirmed", *["payment_anomaly"] * 2, *["payment_refunded"] * 2]
