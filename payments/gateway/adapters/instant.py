"""
A gateway that stores nothing, for a shop without a second process: it decides by the simulator's behaviours.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.utils.translation import gettext_noop as _

from payments.gateway.checkout import Checkout, PaymentChoice
from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    InvalidSignature,
    NoStatement,
    Outcome,
    RefundRequest,
    StatementEntry,
    TimedOut,
    WebhookPayload,
)
from payments.simulator.behaviours import APPROVED, Behaviour, special


class InstantGateway:
    """
    Decide a charge by its token alone, so that every process gives the same answer at any time.

    Tokens that decline do so; `tok_pending` stays processing; `tok_timeout` captures, and the answer to its charge is
    lost; every other token is approved, without a fault.
    """

    checkout = Checkout(
        notice=_("Payments are simulated: no money moves. Choose how the payment ends."),
        choices=(
            PaymentChoice("tok_visa", _("A card that is approved")),
            PaymentChoice("tok_timeout", _("A card whose bank is slow to answer, and approves it")),
            PaymentChoice("tok_declined", _("A card that is declined")),
            PaymentChoice("tok_pending", _("A bank transfer, which leaves you time to pay, or to cancel")),
        ),
    )

    def charge(self, charge: ChargeRequest) -> Answer:
        if _behaviour(charge).name == "answer_lost_charged":
            raise TimedOut("The gateway did not answer in time.")
        return self.look_up(charge)

    def look_up(self, charge: ChargeRequest) -> Answer:
        behaviour, reference = _behaviour(charge), f"instant-{charge.idempotency_key}"
        if behaviour.declines_by:
            return Answer(outcome=Outcome.DECLINED, reason=behaviour.declines_by, reference=reference)
        outcome = Outcome.PROCESSING if behaviour.name == "pending" else Outcome.SUCCEEDED
        return Answer(outcome=outcome, reference=reference)

    def cancel(self, charge: ChargeRequest) -> Answer:
        answer = self.look_up(charge)
        return Answer(outcome=Outcome.CANCELLED) if answer.outcome is Outcome.PROCESSING else answer

    def refund(self, request: RefundRequest) -> Answer:
        return Answer(outcome=Outcome.SUCCEEDED, reference=f"instant-{request.idempotency_key}")

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        raise InvalidSignature("This gateway sends no webhooks.")

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        raise NoStatement("The instant gateway keeps no books.")


def _behaviour(charge: ChargeRequest) -> Behaviour:
    return special(charge.payment_method) or APPROVED
