"""
A gateway in this process, for trying the shop and for tests: it answers at once and never calls back.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    Checkout,
    InvalidSignature,
    NoStatement,
    Outcome,
    PaymentChoice,
    RefundRequest,
    StatementEntry,
    TimedOut,
    WebhookPayload,
)


class InstantGateway:
    """
    Decide by the payment method's token and remember nothing, for it answers the same for the same charge whenever it
    is asked.

    `tok_declined` is declined; `tok_timeout` captures the money but the answer is lost; `tok_pending` waits for a
    customer who never agrees; every other token is approved.
    """

    checkout = Checkout(
        notice="Payments are simulated: no money moves. Choose how the payment ends.",
        choices=(
            PaymentChoice("tok_visa", "A card that is approved"),
            PaymentChoice("tok_timeout", "A card whose bank is slow to answer, and approves it"),
            PaymentChoice("tok_declined", "A card that is declined"),
            PaymentChoice("tok_pending", "A bank transfer, which leaves you time to pay, or to cancel"),
        ),
    )

    def charge(self, charge: ChargeRequest) -> Answer:
        if charge.payment_method == "tok_timeout":
            raise TimedOut("The gateway did not answer in time.")
        return self.look_up(charge)

    def look_up(self, charge: ChargeRequest) -> Answer:
        if charge.payment_method == "tok_declined":
            return Answer(outcome=Outcome.DECLINED, reason="card_declined", reference=_reference(charge))
        outcome = Outcome.PROCESSING if charge.payment_method == "tok_pending" else Outcome.SUCCEEDED
        return Answer(outcome=outcome, reference=_reference(charge))

    def cancel(self, charge: ChargeRequest) -> Answer:
        answer = self.look_up(charge)
        return Answer(outcome=Outcome.CANCELLED) if answer.outcome is Outcome.PROCESSING else answer

    def refund(self, request: RefundRequest) -> Answer:
        return Answer(outcome=Outcome.SUCCEEDED, reference=f"instant-{request.idempotency_key}")

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        raise InvalidSignature("This gateway never calls back.")

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        raise NoStatement("The instant gateway keeps no books.")


def _reference(charge: ChargeRequest) -> str:
    return f"instant-{charge.idempotency_key}"
