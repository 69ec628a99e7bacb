import pytest

from messaging import contracts
from payments import handlers
from payments.models import PaymentIntent, Refund, WebhookEvent
from payments.webhooks.inbox import webhook_received
from payments.webhooks.processing import WebhookUnmatched
from tests.payments.scenes import deliver, payload_of, payment_requested, unopened_intent

pytestmark = pytest.mark.django_db


def cancelled(request: contracts.PaymentRequested, *, payment_requested: bool) -> contracts.OrderCancelled:
    return contracts.OrderCancelled(
        order_id=request.order_id,
        reason="by_customer",
        payment_requested=payment_requested,
        total=request.amount,
        currency=request.currency,
        email=request.email,
        customer_id=request.customer_id,
    )


def overdue(request: contracts.PaymentRequested) -> contracts.PaymentOverdue:
    return contracts.PaymentOverdue(
        order_id=request.order_id, amount=request.amount, currency=request.currency, customer_id=request.customer_id
    )


def test_collects_a_requested_payment_and_refunds_it_when_the_order_is_cancelled(ledger):
    request = payment_requested()

    handlers.take_payment([request])
    handlers.stop_payment([cancelled(request, payment_requested=True)])
    refund = Refund.objects.get()
    handlers.send_refund([contracts.RefundRequested(order_id=request.order_id, refund_id=str(refund.pk))])

    refund.refresh_from_db()
    assert refund.status == "succeeded"


def test_stops_nothing_when_no_payment_was_requested():
    handlers.stop_payment([cancelled(payment_requested(), payment_requested=False)])

    assert not PaymentIntent.objects.exists()


@pytest.mark.parametrize("ending", ["cancelled", "overdue"])
def test_stores_the_customer_of_a_payment_that_ended_before_its_request(ending):
    request = payment_requested()

    if ending == "cancelled":
        handlers.stop_payment([cancelled(request, payment_requested=True)])
    else:
        handlers.settle_overdue([overdue(request)])

    intent = PaymentIntent.objects.get()
    assert (intent.status, intent.amount, intent.customer_id) == ("cancelled", 4_500, "17")


def test_ends_an_overdue_payment(ledger):
    request = payment_requested(payment_method="tok_pending")
    handlers.take_payment([request])

    handlers.settle_overdue([overdue(request)])

    assert PaymentIntent.objects.get().status == "cancelled"


def test_queries_the_gateway_again_when_the_answer_was_lost(ledger):
    request = payment_requested(payment_method="tok_timeout")
    handlers.take_payment([request])

    handlers.ask_again([contracts.PaymentUnsettled(order_id=request.order_id, ask=1)])

    assert PaymentIntent.objects.get().status == "succeeded"


def test_queries_the_gateway_when_a_webhook_is_received(ledger):
    request = payment_requested(payment_method="tok_timeout")
    handlers.take_payment([request])
    deliver(ledger, payload_of(PaymentIntent.objects.get()))

    handlers.settle_webhook([webhook_received(WebhookEvent.objects.get())])

    assert PaymentIntent.objects.get().status == "succeeded"


def test_reports_a_webhook_whose_parking_is_over(ledger):
    deliver(ledger, payload_of(unopened_intent()))
    webhook = WebhookEvent.objects.get()

    handlers.settle_webhook([webhook_received(webhook)])
    with pytest.raises(WebhookUnmatched):
        handlers.settle_webhook([webhook_received(webhook, parking_is_over=True)])
