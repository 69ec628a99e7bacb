"""
Stripe: a charge is one PaymentIntent, created without confirming it, which moves nothing, and confirmed then.

It captures at most once, so it can be found, asked and withdrawn whatever became of our earlier requests. Stripe
repeats its first answer to a key ("Idempotent requests"), so what an intent has come to is always read anew.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import stripe
from django.conf import settings
from django.utils import timezone
from stripe import CardError, InvalidRequestError, PaymentIntent, Refund

from payments.gateway import protocol
from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    Checkout,
    Outcome,
    RefundRequest,
    StatementEntry,
    TimedOut,
    WebhookPayload,
)

from .stripe_mapping import (
    REFUNDS,
    UNTOUCHED,
    answer_of,
    asking,
    code_of,
    declined,
    final,
    from_stripe,
    is_signed,
    is_untouched,
    metadata,
    money,
    read_event,
    reason_of,
    to_stripe,
)

KEYS_LAST = timedelta(hours=23)  # Stripe forgets them after 24 hours at the earliest


class StripeGateway:
    """
    Configured by `settings.PAYMENTS`. A call makes up to six requests, and `timeout_seconds` bounds each silence in
    them. The one client serves all threads, for its connections are the thread's own.
    """

    checkout = Checkout(notice="Payments are taken by Stripe. Enter the id of a payment method, such as pm_1Nd…")

    def __init__(self, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock
        self._secrets: Sequence[str] = settings.PAYMENTS.webhook_secrets
        client = stripe.StripeClient(
            settings.PAYMENTS.stripe_api_key,
            base_addresses={"api": settings.PAYMENTS.stripe_api_base or stripe.DEFAULT_API_BASE},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=settings.PAYMENTS.timeout_seconds),
        )
        self._intents, self._charges, self._refunds = client.v1.payment_intents, client.v1.charges, client.v1.refunds

    def charge(self, charge: ChargeRequest) -> Answer:
        """
        Confirm the charge's intent, unless that was done. One whose key may be forgotten, and that is not found, stays
        in doubt until it is cancelled: search promises no completeness ("Search", data freshness).
        """
        try:
            intent = self._find(charge)
        except InvalidRequestError as refusal:
            return declined(refusal)
        if intent is None:
            raise TimedOut("Stripe finds no trace of this charge, which is too old to be made again. Cancel it.")
        return self._confirm(intent, charge) if is_untouched(intent) else self._settle(intent)

    def look_up(self, charge: ChargeRequest) -> Answer:
        try:
            intent = self._find(charge)
        except InvalidRequestError as refusal:
            return declined(refusal)
        return self._settle(intent) if intent else Answer(outcome=Outcome.ABSENT)

    def cancel(self, charge: ChargeRequest) -> Answer:
        """
        Leave a cancelled intent behind, which no request to charge that is still on its way can confirm.
        """
        try:
            intent = self._find(charge) or self._create(charge)
        except InvalidRequestError as refusal:
            return declined(refusal)
        return final(self._withdraw(intent, "requested_by_customer"))

    def refund(self, request: RefundRequest) -> Answer:
        try:
            refund = self._find_refund(request) or self._create_refund(request)
        except InvalidRequestError as refusal:
            return declined(refusal)
        outcome = REFUNDS.get(refund.status or "", Outcome.PROCESSING)
        reason = (getattr(refund, "failure_reason", "") or refund.status or "") if outcome is Outcome.DECLINED else ""
        return Answer(outcome=outcome, reference=refund.id, reason=reason)

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        """
        Verify the signature by the SDK, but its moment here: the SDK has its own clock and tolerates any future.
        """
        header = headers.get("stripe-signature", "")
        if not any(is_signed(body, header, secret) for secret in self._secrets):
            raise protocol.InvalidSignature("No secret of ours has signed this webhook.")
        signed_at = next(part.split("=")[1] for part in header.split(",") if part.startswith("t="))
        if abs(int(now.timestamp()) - int(signed_at)) > stripe.Webhook.DEFAULT_TOLERANCE:
            detail = f"This webhook was signed at {signed_at}, more than five minutes from now."
            raise protocol.TimestampOutOfTolerance(detail)
        try:
            return read_event(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
            raise protocol.MalformedPayload(f"This webhook cannot be read: {problem!r}") from problem

    def statement(self, since: datetime | None) -> Iterator[StatementEntry]:
        """
        List our charges created since then, and older ones of which a refund was created since then. Ours are those
        with the metadata that Stripe copied from our intents ("How metadata works with related objects").

        Not covered: disputes, refunds that are pending, and what was created earlier but succeeded or failed since, as
        bank debits do after days. Ask from some days earlier to see those, too.
        """
        moment = int(since.timestamp()) if since else 0
        with asking():
            charges = self._charges.list({"created": {"gte": moment}, "limit": 100}).auto_paging_iter()
            for charge in chain(charges, self._refunded_since(moment) if since else ()):
                if charge.captured and charge.status == "succeeded" and "payment" in charge.metadata:
                    yield self._booking(charge)

    def _refunded_since(self, moment: int) -> Iterator[stripe.Charge]:
        refunds = self._refunds.list({"created": {"gte": moment}, "limit": 100, "expand": ["data.charge"]})
        expanded = (refund.charge for refund in refunds.auto_paging_iter() if isinstance(refund.charge, stripe.Charge))
        yield from {charge.id: charge for charge in expanded if charge.created < moment}.values()

    def _booking(self, charge: stripe.Charge) -> StatementEntry:
        refunds = Counter[str]()
        if charge.amount_refunded:
            for refund in self._refunds.list({"charge": charge.id, "limit": 100}).auto_paging_iter():
                if refund.status == "succeeded":
                    refunds[metadata(refund).get("refund", refund.id)] += from_stripe(refund.amount, charge.currency)
        return StatementEntry(
            charge_key=charge.metadata["payment"],
            order_id=metadata(charge).get("order_id", ""),
            reference=str(charge.payment_intent),
            captured=money(charge.amount_captured, charge.currency),
            captured_at=datetime.fromtimestamp(charge.created, UTC),
            refunds=refunds,
        )

    def _find(self, charge: ChargeRequest) -> PaymentIntent | None:
        if charge.reference:
            return self._retrieve(charge.reference)
        if charge.opened_at is None or self._clock() - charge.opened_at < KEYS_LAST:
            return self._retrieve(self._create(charge).id)
        with asking():
            found = self._intents.search({"query": f"metadata['payment']:'{charge.idempotency_key}'"}).data
        return self._retrieve(found[0].id) if found else None

    def _retrieve(self, intent_id: str) -> PaymentIntent:
        with asking():
            return self._intents.retrieve(intent_id)

    def _create(self, charge: ChargeRequest) -> PaymentIntent:
        with asking(InvalidRequestError):
            return self._intents.create(
                {
                    "amount": to_stripe(charge.amount, charge.currency),
                    "currency": charge.currency.lower(),
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "metadata": {"payment": charge.idempotency_key, "order_id": charge.order_id},
                },
                {"idempotency_key": charge.idempotency_key},
            )

    def _confirm(self, intent: PaymentIntent, charge: ChargeRequest) -> Answer:
        try:
            with asking(CardError, InvalidRequestError, moves=True):
                confirmed = self._confirm_once(intent, charge)
        except (CardError, InvalidRequestError) as refusal:
            present = self._retrieve(intent.id)
            return self._decline(present, code_of(refusal)) if is_untouched(present) else self._settle(present)
        return self._settle(confirmed)

    def _confirm_once(self, intent: PaymentIntent, charge: ChargeRequest) -> PaymentIntent:
        method, key = charge.payment_method, f"{charge.idempotency_key}-confirm"
        try:
            return self._intents.confirm(intent.id, {"payment_method": method}, {"idempotency_key": key})
        except stripe.APIError as failure:
            if "idempotent-replayed" not in (failure.headers or {}):
                raise
            # It failed long ago, and would for as long as its key is known; the intent itself still captures only once.
            return self._intents.confirm(intent.id, {"payment_method": method})

    def _settle(self, intent: PaymentIntent) -> Answer:
        if intent.status in UNTOUCHED and intent.last_payment_error:
            return self._decline(intent, reason_of(intent))
        return answer_of(intent)

    def _decline(self, intent: PaymentIntent, reason: str) -> Answer:
        """
        Cancel what failed, for Stripe would let it be confirmed once more ("How PaymentIntents work").
        """
        withdrawn = self._withdraw(intent, "abandoned")
        if withdrawn.status == "canceled":
            return Answer(outcome=Outcome.DECLINED, reference=intent.id, reason=reason)
        return final(withdrawn)

    def _withdraw(self, intent: PaymentIntent, why: Any) -> PaymentIntent:
        if intent.status in ("succeeded", "canceled"):
            return intent
        with suppress(InvalidRequestError), asking(InvalidRequestError, moves=True):
            return self._intents.cancel(intent.id, {"cancellation_reason": why})
        return self._retrieve(intent.id)

    def _find_refund(self, request: RefundRequest) -> Refund | None:
        with asking():
            refunds = self._refunds.list({"payment_intent": request.charge_reference, "limit": 100})
            for refund in refunds.auto_paging_iter():
                if metadata(refund).get("refund") == request.idempotency_key:
                    return refund
        return None

    def _create_refund(self, request: RefundRequest) -> Refund:
        with asking(InvalidRequestError, moves=True):
            return self._refunds.create(
                {
                    "payment_intent": request.charge_reference,
                    "amount": to_stripe(request.amount, request.currency),
                    "metadata": {"refund": request.idempotency_key},
                },
                {"idempotency_key": request.idempotency_key},
            )
