import pytest

from messaging.contracts import OrderCancelled, PaymentOverdue, PaymentRequested, PaymentUnsettled, RefundRequested
from payments import handlers
from payments.models import PaymentIntent, Refund, WebhookEvent
from payments.webhooks.inbox import webhook_received
from payments.webhooks.processing import WebhookUnmatched
from tests.payments.scenes import deliver, payload_of, payment_requested, unopened_intent

pytestmark = pytest.mark.django_db


def cancelled(request: PaymentRequested, *, payment_requested: bool = True) -> OrderCancelled:
    return OrderCancelled(
        order_id=request.order_id,
        reason="by_customer",
        payment_requested=payment_requested,
        total=request.amount,
        currency=request.currency,
        email=request.email,
        customer_id=request.customer_id,
    )


def overdue(request: PaymentRequested) -> PaymentOverdue:
    return PaymentOverdue(
        order_id=request.order_id, amount=request.amount, currency=request.currency, customer_id=request.customer_id
    )


def intent_status() -> str:
    return PaymentIntent.objects.get().status


class TestHandlers:
    def test_collect_a_payment_and_refund_it_when_the_order_is_cancelled(self, ledger):
        request = payment_requested()

        handlers.take_payment([request])
        handlers.stop_payment([cancelled(request)])
        refund = Refund.objects.get()
        handlers.send_refund([RefundRequested(order_id=request.order_id, refund_id=str(refund.pk))])

        refund.refresh_from_db()
        assert refund.status == "succeeded"

    def test_stop_nothing_when_no_payment_was_requested(self):
        handlers.stop_payment([cancelled(payment_requested(), payment_requested=False)])

        assert not PaymentIntent.objects.exists()

    @pytest.mark.parametrize(
        ("handler", "event"), [(handlers.stop_payment, cancelled), (handlers.settle_overdue, overdue)]
    )
    def test_store_the_customer_of_a_payment_that_ended_before_its_request(self, handler, event):
        handler([event(payment_requested())])

        intent = PaymentIntent.objects.get()
        assert (intent.status, intent.amount, intent.customer_id) == ("cancelled", 4_500, "17")

    def test_end_an_overdue_payment(self, ledger):
        request = payment_requested(payment_method="tok_pending")
        handlers.take_payment([request])

        handlers.settle_overdue([overdue(request)])

        assert intent_status() == "cancelled"

    @pytest.mark.parametrize("reason", ["query", "webhook"])
    def test_look_up_a_payment_whose_answer_was_lost(self, ledger, reason):
        request = payment_requested(payment_method="tok_timeout")
        handlers.take_payment([request])

        if reason == "query":
            handlers.ask_again([PaymentUnsettled(order_id=request.order_id, ask=1)])
        else:
            deliver(ledger, payload_of(PaymentIntent.objects.get()))
            handlers.settle_webhook([webhook_received(WebhookEvent.objects.get())])

        assert intent_status() == "succeeded"

    def test_report_a_webhook_whose_parking_is_over(self, ledger):
        deliver(ledger, payload_of(unopened_intent()))
        webhook = WebhookEvent.objects.get()

        handlers.settle_webhook([webhook_received(webhook)])
        with pytest.raises(WebhookUnmatched):
            handlers.settle_webhook([webhook_received(webhook, parking_is_over=True)])
