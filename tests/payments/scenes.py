"""Requests, webhooks and charges for the tests of payments."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from messaging.contracts import PaymentRequested
from payments import refunds
from payments.charges import services
from payments.charges.gateway_queries import charge_request
from payments.charges.services import Due
from payments.gateway.protocol import Money, Outcome, WebhookPayload
from payments.models import PaymentIntent, Refund
from payments.webhooks import inbox
from tests.gateways import RecordingGateway
from tests.webhooks import event

CONTACT = {"number": "K7Q4-M2X0", "phone": "+441632960123", "language": "de"}
NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def payment_requested(**changes: object) -> PaymentRequested:
    """Return a request of 45.00 GBP by customer 17 for a new order."""
    fields = {"amount": 4_500, "currency": "GBP", "payment_method": "tok_visa", "email": "ada@example.com"}
    return PaymentRequested(order_id=str(uuid4()), **fields | {"customer_id": "17"} | CONTACT | changes)


def collected(payment_method: str = "tok_visa", *, now: datetime = NOON, **changes: object) -> PaymentRequested:
    """Collect a payment for a new order, and return its request."""
    request = payment_requested(payment_method=payment_method, **changes)
    services.collect([request], now=now)
    return request


def collect(payment_method: str = "tok_visa", *, now: datetime = NOON, **changes: object) -> PaymentIntent:
    """Collect a payment for a new order, and return it as the gateway's answer left it."""
    request = collected(payment_method, now=now, **changes)
    return PaymentIntent.objects.get(order_id=request.order_id)


def dues_of(*payments: PaymentRequested | PaymentIntent) -> dict[str, Due]:
    return {str(payment.order_id): Due(payment.amount, payment.currency, payment.customer_id) for payment in payments}


def status_of(request: PaymentRequested) -> str:
    return PaymentIntent.objects.get(order_id=request.order_id).status


def request_refund(order_id: object, amount: int) -> Refund:
    (refund,) = refunds.refund(str(order_id), amount=amount, reason="a scratch", now=NOON)
    return refund


def unopened_intent(**fields: object) -> PaymentIntent:
    """Return a payment of 45.00 GBP that is not stored."""
    return PaymentIntent(**{"order_id": uuid4(), "amount": 4_500, "currency": "GBP", "created_at": NOON} | fields)


def payload_of(intent: PaymentIntent, outcome: Outcome = Outcome.SUCCEEDED, **changes: object) -> WebhookPayload:
    """Return a webhook that claims this outcome of an intent's own charge."""
    event_id = f"evt_{uuid4().hex}"
    payload = WebhookPayload(
        event_id=event_id,
        fingerprint=event_id,
        charge_key=str(intent.pk),
        order_id=str(intent.order_id),
        reference=f"instant-{intent.pk}",
        outcome=outcome,
        claimed=Money(intent.amount, intent.currency),
    )
    return replace(payload, **changes)


def deliver(*payloads: WebhookPayload, now: datetime = NOON) -> None:
    """Deliver these webhooks of the simulated provider, one after the other."""
    for payload in payloads:
        charge = {"key": payload.charge_key, "reference": payload.reference, "order_id": payload.order_id}
        body = event(**charge, status=payload.outcome, **payload.claimed._asdict())
        inbox.receive(body, {"webhook-id": payload.event_id}, now=now)


def charge_elsewhere(ledger: RecordingGateway, intent: PaymentIntent, *, key: str = "second") -> WebhookPayload:
    """Charge an order at the gateway with a key that is not ours, and return the webhook about that charge."""
    charge = replace(charge_request(intent), idempotency_key=key, payment_method="tok_visa", reference="")
    ledger.charge(charge)
    return payload_of(intent, charge_key=key, reference=f"instant-{key}")


def capture_other_amount(ledger: RecordingGateway, intent: PaymentIntent, amount: int, currency: str = "GBP") -> None:
    """Capture another amount at the gateway than an intent requests."""
    ledger.approve(str(intent.pk), amount=amount, currency=currency)
