import pytest

from messaging import contracts
from payments import handlers
from payments.models import PaymentIntent, Refund, WebhookEvent
from payments.webhooks.inbox import webhook_received
from payments.webhooks.processing import WebhookUnmatched
from tests.payments.scenes import NOON, deliver, payload_of, payment_requested

pytestmark = pytest.mark.django_db


def cancelled(asked: contracts.PaymentRequested, *, payment_requested: bool) -> contracts.OrderCancelled:
    return contracts.OrderCancelled(
        order_id=asked.order_id,
        reason="by_customer",
        payment_requested=payment_requested,
        total=asked.amount,
        currency=asked.currency,
        email=asked.email,
        customer_id=asked.customer_id,
    )


def overdue(asked: contracts.PaymentRequested) -> contracts.PaymentOverdue:
    return contracts.PaymentOverdue(
        order_id=asked.order_id, amount=asked.amount, currency=asked.currency, customer_id=asked.customer_id
    )


def test_takes_a_requested_payment_and_sends_it_back_when_the_order_is_cancelled(ledger):
    asked = payment_requested()

    handlers.take_payment([asked])
    handlers.stop_payment([cancelled(asked, payment_requested=True)])
    refund = Refund.objects.get()
    handlers.send_refund([contracts.RefundRequested(order_id=asked.order_id, refund_id=str(refund.pk))])

    refund.refresh_from_db()
    assert refund.status == "succeeded"


def test_has_nothing_to_stop_when_no_payment_was_requested():
    handlers.stop_payment([cancelled(payment_requested(), payment_requested=False)])

    assert not PaymentIntent.objects.exists()


@pytest.mark.parametrize("ending", ["cancelled", "overdue"])
def test_knows_whose_a_payment_is_that_ended_before_it_was_asked_for(ending):
    asked = payment_requested()

    if ending == "cancelled":
        handlers.stop_payment([cancelled(asked, payment_requested=True)])
    else:
        handlers.settle_overdue([overdue(asked)])

    intent = PaymentIntent.objects.get()
    assert (intent.status, intent.amount, intent.customer_id) == ("cancelled", 4_500, "17")


def test_settles_an_overdue_payment(ledger):
    asked = payment_requested(payment_method="tok_pending")
    handlers.take_payment([asked])

    handlers.settle_overdue([overdue(asked)])

    assert PaymentIntent.objects.get().status == "cancelled"


def test_asks_again_when_the_answer_was_lost(ledger):
    asked = payment_requested(payment_method="tok_timeout")
    handlers.take_payment([asked])

    handlers.ask_again([contracts.PaymentUnsettled(order_id=asked.order_id, ask=1)])

    assert PaymentIntent.objects.get().status == "succeeded"


def test_asks_when_a_webhook_came(ledger):
    asked = payment_requested(payment_method="tok_timeout")
    handlers.take_payment([asked])
    deliver(ledger, payload_of(PaymentIntent.objects.get()))

    handlers.settle_webhook([webhook_received(WebhookEvent.objects.get())])

    assert PaymentIntent.objects.get().status == "succeeded"


def test_gives_up_a_webhook_whose_parking_is_over(ledger):
    stranger = PaymentIntent(order_id=payment_requested().order_id, amount=4_500, currency="GBP", created_at=NOON)
    deliver(ledger, payload_of(stranger))
    webhook = WebhookEvent.objects.get()

    handlers.settle_webhook([webhook_received(webhook)])
    with pytest.raises(WebhookUnmatched):
        handlers.settle_webhook([webhook_received(webhook, parking_is_over=True)])
