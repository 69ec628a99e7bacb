"""Captures that are late, unknown, or of another amount than requested, numbered as in the list of failures."""

from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.backoff import MAX_DEFERRALS
from messaging.models import Delivery
from payments.gateway.protocol import Money, TimedOut, Unreachable
from payments.models import PaymentIntent, WebhookEvent
from tests.concurrency.boundaries import Boundaries, Crash
from tests.factories import make_stock
from tests.journeys.orders import history_of, mail_kinds, place, stock
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows
from tests.payments.scenes import capture_other_amount, deliver, payload_of

pytestmark = pytest.mark.django_db

DUE = timedelta(minutes=16)
LEASE_OVER = timedelta(minutes=1)
KEPT, RETURNED = CaptureRow(4_500), CaptureRow(4_500, returned=4_500)


@pytest.fixture
def pending(api, drain, ledger) -> tuple[str, PaymentIntent]:
    """An order of the last red chair, whose customer still has to authorize the payment, and the payment."""
    make_stock(1)
    order = place(api, payment_method="tok_pending")
    drain()
    return order, PaymentIntent.objects.get()


class TestF3PaidAfterItExpired:
    @pytest.fixture
    def late(self, api, drain, ledger, pending) -> tuple[str, PaymentIntent]:
        """The order has expired, its chair is sold to another customer, and now the first one pays."""
        order, intent = pending
        drain(after=DUE)
        assert history_of(api, order)[-1] == "expired"
        assert history_of(api, place(api)) == ["placed"]
        drain()
        ledger.approve(str(intent.pk))
        return order, intent

    def assert_refunded_once(self, api, ledger, order: str) -> None:
        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "expired"]
        assert api.get(order).json()["refunded"] == 4_500
        assert stock() == (0, 0)
        assert capture_rows() == [KEPT, RETURNED]
        assert refund_rows() == [RefundRow(4_500, "succeeded", "paid when the order was over")]
        assert len(ledger.refunded) == 1

    def test_is_refunded_once_however_often_the_gateway_reports_it(self, api, drain, ledger, late):
        order, intent = late
        payload = payload_of(intent)

        deliver(payload, payload, now=timezone.now())
        drain()
        deliver(payload, payload_of(intent), now=timezone.now())
        drain()

        self.assert_refunded_once(api, ledger, order)
        assert [refund.charge for refund in ledger.refunded.values()] == [str(intent.pk)]
        assert sorted(mail_kinds()) == [
            "order_confirmed",
            "order_expired",
            "payment_anomaly",
            "payment_due_soon",
            "payment_refunded",
        ]

    @pytest.mark.parametrize("crashes", [1, 2], ids=["during the query", "and during the refund"])
    def test_is_refunded_once_though_workers_crash(self, api, drain, ledger, late, crashes):
        order, intent = late
        deliver(payload_of(intent), now=timezone.now())

        for crash in range(crashes):
            ledger.script.append(KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                drain(after=crash * LEASE_OVER)
        drain(after=crashes * LEASE_OVER)

        self.assert_refunded_once(api, ledger, order)


class TestF4ExpiryOfAPaidOrder:
    @pytest.mark.parametrize("silence", [Unreachable("no route"), TimedOut("no answer")], ids=["away", "silent"])
    def test_waits_for_a_silent_gateway_until_it_is_a_dead_letter(self, api, drain, ledger, pending, silence):
        order, intent = pending
        ledger.script.extend([silence] * 2)
        drain(after=DUE)
        expiry = Delivery.objects.filter(subscriber="payments.settle_overdue")
        assert expiry.values_list("status", "deferrals").get() == ("pending", 1)
        assert history_of(api, order) == ["placed", "awaiting_payment"]

        expiry.update(deferrals=MAX_DEFERRALS)
        drain(after=2 * DUE)

        assert expiry.values_list("status", "error_class").get() == ("dead", "PartlyUnavailable")
        assert (history_of(api, order), stock()) == (["placed", "awaiting_payment"], (1, 1))
        ledger.approve(str(intent.pk))
        Delivery.objects.replay(timezone.now())
        drain()
        assert history_of(api, order)[-1] == "confirmed"


class TestF17ChargedByAProcessThatDied:
    @pytest.fixture
    def crashed(self, api, drain, ledger) -> str:
        """An order whose payment was captured, but whose worker died then."""
        ledger.crossing = Boundaries((0, "after")).crossing
        make_stock(1)
        order = place(api)
        with pytest.raises(Crash):
            drain()
        assert (len(ledger.captured), capture_rows()) == (1, [])
        return order

    def test_is_charged_again_with_the_key_that_was_stored_before(self, api, drain, ledger, crashed):
        drain(after=LEASE_OVER)

        assert history_of(api, crashed) == ["placed", "awaiting_payment", "confirmed"]
        assert ledger.calls["charge"] == 2
        assert list(ledger.captured) == [str(PaymentIntent.objects.get().pk)]
        assert capture_rows() == [KEPT]

    def test_is_not_charged_again_when_a_webhook_reports_it_first(self, api, drain, ledger, crashed):
        deliver(payload_of(PaymentIntent.objects.get()), now=timezone.now())
        drain()
        drain(after=LEASE_OVER)

        assert history_of(api, crashed) == ["placed", "awaiting_payment", "confirmed"]
        assert (ledger.calls["charge"], capture_rows()) == (1, [KEPT])


class TestF19AnotherAmountCaptured:
    @pytest.mark.parametrize(
        ("token", "money"), [("tok_short_paid", Money(4_499, "GBP")), ("tok_paid_otherwise", Money(4_500, "EUR"))]
    )
    def test_cancels_the_order_and_refunds_the_money(self, api, drain, ledger, token, money):
        make_stock(1)
        order = place(api, payment_method=token)

        drain()

        assert history_of(api, order) == ["placed", "awaiting_payment", "cancelled", "payment_failed"]
        assert (api.get(order).json()["refunded"], stock()) == (0, (1, 0))
        assert capture_rows() == [CaptureRow(*money, surplus=True, returned=money.amount)]
        assert [(refund.amount, refund.currency) for refund in ledger.refunded.values()] == [money]
        assert "payment_anomaly" in mail_kinds()
        assert mail_kinds().count("payment_refunded") == 1

    def test_waits_for_the_deadline_when_a_webhook_claims_it(self, api, drain, ledger, pending):
        order, intent = pending
        capture_other_amount(ledger, intent, 4_000)

        deliver(payload_of(intent, claimed=Money(4_000, "GBP")), now=timezone.now())
        drain()
        disputed = Delivery.objects.dead().values_list("subscriber", "error_class").get()
        assert disputed == ("payments.settle_webhook", "WebhookDisputed")
        assert (history_of(api, order), capture_rows()) == (["placed", "awaiting_payment"], [])
        assert mail_kinds() == ["payment_anomaly", "dead_letter"]

        drain(after=DUE)
        Delivery.objects.replay(timezone.now())
        drain()
        assert history_of(api, order)[-2:] == ["cancelled", "payment_failed"]
        assert capture_rows() == [CaptureRow(4_000, surplus=True, returned=4_000)]
        assert len(ledger.refunded) == 1
        assert WebhookEvent.objects.get().status == "settled"
        assert mail_kinds().count("payment_anomaly") == 2
