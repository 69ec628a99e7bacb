"""
The queries and commands that payments sends to the gateway for its intents.
"""

from collections.abc import Callable, Sequence

from payments.gateway import protocol
from payments.gateway.calls import call_all
from payments.gateway.protocol import Answer, ChargeRequest, Outcome, Reply, TimedOut, Undecided
from payments.models import PaymentIntent

NOTHING_TO_PAY = Answer(outcome=Outcome.SUCCEEDED)


def query_gateway(query: Callable[[PaymentIntent], Answer], intents: Sequence[PaymentIntent]) -> dict[str, Reply]:
    """
    Query the gateway about these payments, concurrently, and return its replies by order id. A payment of nothing
    succeeds without a call.
    """
    payable = [intent for intent in intents if intent.amount]
    replies = call_all(query, payable, key=_order_id, order_id=lambda intent: intent.order_id)
    free = {_order_id(intent): NOTHING_TO_PAY for intent in intents if not intent.amount}
    return dict(zip(map(_order_id, payable), replies, strict=True)) | free


def charge(intent: PaymentIntent) -> Answer:
    """
    Capture a payment, or return the state of its charge.

    :raises TimedOut: if the gateway has no record of the charge that was just requested.
    """
    answer = protocol.at(intent.gateway).charge(charge_request(intent))
    if answer.outcome is Outcome.ABSENT:
        raise TimedOut("The gateway has no record of the charge that was just requested.")
    return answer


def look_up_or_charge(intent: PaymentIntent) -> Answer:
    """
    Return the state of a payment's charge; a charge of which the gateway has no record is made now, with the same key.
    """
    answer = protocol.at(intent.gateway).look_up(charge_request(intent))
    return charge(intent) if answer.outcome is Outcome.ABSENT else answer


def withdraw(intent: PaymentIntent) -> Answer:
    """
    Cancel a payment's charge.

    :raises Undecided: if the gateway has neither cancelled nor captured it yet.
    """
    answer = protocol.at(intent.gateway).cancel(charge_request(intent))
    if answer.outcome in {Outcome.PROCESSING, Outcome.ABSENT}:
        raise Undecided("The gateway has neither cancelled nor captured the charge yet.")
    return answer


def resolve(intent: PaymentIntent) -> Answer:
    """
    Look up or charge a payment that its order wants; withdraw one that it does not.
    """
    return look_up_or_charge(intent) if intent.is_wanted else withdraw(intent)


def charge_request(intent: PaymentIntent) -> ChargeRequest:
    return ChargeRequest(
        idempotency_key=str(intent.pk),
        order_id=str(intent.order_id),
        amount=intent.amount,
        currency=intent.currency,
        payment_method=intent.payment_method,
        reference=intent.provider_reference,
        opened_at=intent.created_at,
    )


def _order_id(intent: PaymentIntent) -> str:
    return str(intent.order_id)
