"""
What the tests of payments have in common: what a gateway calls back with, and what our books say afterwards.
"""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from messaging.contracts import PaymentRequested
from payments.charges.gateway_queries import charge_request
from payments.charges.services import Due
from payments.gateway.protocol import ChargeRequest, Money, Outcome, WebhookPayload
from payments.models import Capture, PaymentIntent, Refund
from payments.webhooks import inbox
from tests.gateways import LedgerGateway

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def payment_requested(**changes: object) -> PaymentRequested:
    fields = {"amount": 4_500, "currency": "GBP", "payment_method": "tok_visa", "email": "ada@example.com"}
    return PaymentRequested(order_id=str(uuid4()), **fields | {"customer_id": "17"} | changes)


def dues_of(*requests: PaymentRequested) -> dict[str, Due]:
    return {request.order_id: Due(request.amount, request.currency, request.customer_id) for request in requests}


def status_of(request: PaymentRequested) -> str:
    return PaymentIntent.objects.get(order_id=request.order_id).status


def payload_of(intent: PaymentIntent, outcome: Outcome = Outcome.SUCCEEDED, **changes: object) -> WebhookPayload:
    """
    Say of an intent's own charge that this became of it.
    """
    event_id = f"evt_{uuid4().hex}"
    claim = WebhookPayload(
        event_id=event_id,
        fingerprint=event_id,
        charge_key=str(intent.pk),
        order_id=str(intent.order_id),
        reference=f"instant-{intent.pk}",
        outcome=outcome,
        claimed=Money(intent.amount, intent.currency),
    )
    return replace(claim, **changes)


def deliver(ledger: LedgerGateway, *claims: WebhookPayload, now: datetime = NOON) -> None:
    """
    Have the gateway call back with these claims, one after the other.
    """
    for claim in claims:
        ledger.claims[claim.event_id.encode()] = claim
        inbox.receive(claim.event_id.encode(), {}, now=now)


def charge_elsewhere(
    ledger: LedgerGateway, intent: PaymentIntent, *, key: str = "second", **changes: object
) -> WebhookPayload:
    """
    Have somebody else charge an order at the gateway, by a key of his own, and return what it claims of that.
    """
    charge = replace(charge_request(intent), idempotency_key=key, payment_method="tok_visa", reference="", **changes)
    ledger.charge(charge)
    return payload_of(intent, charge_key=key, reference=f"instant-{key}", claimed=Money(charge.amount, charge.currency))


def capture_other_amount(
    ledger: LedgerGateway, intent: PaymentIntent, amount: int, currency: str = "GBP"
) -> ChargeRequest:
    """
    Have the gateway capture something else than an intent asks for.
    """
    charge = replace(charge_request(intent), amount=amount, currency=currency)
    ledger.captured[charge.idempotency_key] = charge
    return charge


def captured() -> list[tuple[int, str, str, int]]:
    """
    List the money that came, oldest first: its amount and currency, if it is surplus, and how much of it went back.
    """
    captures = Capture.objects.order_by("pk")
    return [(it.amount, it.currency, "surplus" if it.surplus else "", it.returned) for it in captures]


def given_back() -> list[tuple[int, str, str]]:
    """
    List the refunds, oldest first: their amounts, states and reasons.
    """
    return list(Refund.objects.order_by("pk").values_list("amount", "status", "reason"))
