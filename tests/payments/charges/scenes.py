"""Payments of 45.00 GBP, and the replies of a gateway about them."""

from payments.charges.outcomes import apply_replies
from payments.gateway.protocol import Answer, Money, Outcome, Reply, TimedOut, Undecided, Unreachable
from payments.models import Capture, PaymentIntent
from tests.payments.scenes import NOON, unopened_intent

ENDED = ["succeeded", "failed", "cancelled"]
REPLIES: dict[str, Reply] = {outcome.value: Answer(outcome=outcome, reference="ch_1") for outcome in Outcome} | {
    "timed out": TimedOut(),
    "undecided": Undecided(),
    "unreachable": Unreachable(),
}
PAID = REPLIES["succeeded"]
PAID_AGAIN = Answer(outcome=Outcome.SUCCEEDED, reference="ch_2")


def intent_that_is(status: str, **changes: object) -> PaymentIntent:
    """
    Store a payment, captured as "ch_1" if it succeeded and is not one of nothing.
    """
    intent = unopened_intent(status=status, **changes)
    intent.save(force_insert=True)
    if status == "succeeded" and intent.amount:
        Capture.objects.create(intent=intent, reference="ch_1", amount=4_500, currency="GBP", captured_at=NOON)
    return intent


def paid_in(amount: int, currency: str, *, reference: str = "ch_1") -> Answer:
    return Answer(outcome=Outcome.SUCCEEDED, reference=reference, captured=Money(amount, currency))


def apply_to(intent: PaymentIntent, *replies: Reply) -> PaymentIntent:
    """Apply these replies about a payment, one after the other, and return it as it is stored then."""
    for reply in replies:
        apply_replies({str(intent.order_id): reply}, now=NOON)
    intent.refresh_from_db()
    return intent
