"""
The adapter to Stripe. A charge is one PaymentIntent, created unconfirmed, which moves no money, and then confirmed.

It captures at most once, so it can be found, read and cancelled whether or not earlier requests succeeded. Stripe
repeats its first answer to an idempotency key ("Idempotent requests"), so the state of an intent is always read anew.
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
from django.utils.translation import gettext_noop as _
from stripe import CardError, InvalidRequestError, PaymentIntent, Refund

from payments.gateway import protocol
from payments.gateway.checkout import Checkout
from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    Outcome,
    RefundRequest,
    StatementEntry,
    TimedOut,
    WebhookPayload,
)

from .stripe_mapping import (
    REFUND_OUTCOMES,
    UNCONFIRMED,
    answer_of,
    answer_to_cancel,
    code_of,
    declined_by,
    from_stripe,
    is_signed,
    is_unconfirmed,
    metadata,
    money,
    read_event,
    reason_of,
    to_stripe,
    translated_errors,
)

KEYS_LAST = timedelta(hours=23)
"""Stripe keeps idempotency keys for at least 24 hours."""


class StripeGateway:
    """
    Configured by `settings.PAYMENTS`. A call makes up to six requests; `timeout_seconds` limits the wait for each part
    of a response. All threads share one client, which keeps connections per thread.
    """

    checkout = Checkout(notice=_("Payments are taken by Stripe. Enter the id of a payment method, such as pm_1Nd…"))

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
        Confirm the charge's intent, unless it was confirmed before.

        :raises TimedOut: also if its key may be forgotten and no intent is found, since search results may be
            incomplete ("Search", data freshness); cancelling the charge resolves it.
        """
        try:
            intent = self._find(charge)
        except InvalidRequestError as error:
            return declined_by(error)
        if intent is None:
            raise TimedOut("Stripe finds no record of this charge, which is too old to be made again. Cancel it.")
        return self._confirm(intent, charge) if is_unconfirmed(intent) else self._answer(intent)

    def look_up(self, charge: ChargeRequest) -> Answer:
        try:
            intent = self._find(charge)
        except InvalidRequestError as error:
            return declined_by(error)
        return self._answer(intent) if intent else Answer(outcome=Outcome.ABSENT)

    def cancel(self, charge: ChargeRequest) -> Answer:
        """
        Cancel the charge's intent; create it for that, if need be, so that a late request cannot confirm one.
        """
        try:
            intent = self._find(charge) or self._create(charge)
        except InvalidRequestError as error:
            return declined_by(error)
        return answer_to_cancel(self._withdraw(intent, "requested_by_customer"))

    def refund(self, request: RefundRequest) -> Answer:
        try:
            refund = self._find_refund(request) or self._create_refund(request)
        except InvalidRequestError as error:
            return declined_by(error)
        outcome = REFUND_OUTCOMES.get(refund.status or "", Outcome.PROCESSING)
        reason = (getattr(refund, "failure_reason", "") or refund.status or "") if outcome is Outcome.DECLINED else ""
        return Answer(outcome=outcome, reference=refund.id, reason=reason)

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        """
        Verify the signature by the SDK, but its time here: the SDK reads the clock and accepts any time in the future.
        """
        header = headers.get("stripe-signature", "")
        if not any(is_signed(body, header, secret) for secret in self._secrets):
            raise protocol.InvalidSignature("No webhook secret verifies the signature.")
        signed_at = next(part.split("=")[1] for part in header.split(",") if part.startswith("t="))
        if abs(int(now.timestamp()) - int(signed_at)) > stripe.Webhook.DEFAULT_TOLERANCE:
            raise protocol.TimestampOutOfTolerance(f"Signed at {signed_at}, more than five minutes from now.")
        try:
            return read_event(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise protocol.MalformedPayload(f"This webhook cannot be read: {error!r}") from error

    def statement(self, since: datetime | None) -> Iterator[StatementEntry]:
        """
        Yield our charges created since then, and older ones with a refund created since then. Ours are those with the
        metadata that Stripe copied from our intents ("How metadata works with related objects").

        Not covered: disputes, pending refunds, and charges that were created earlier but succeeded or failed since, as
        bank debits do after days. Request an earlier moment to see those.
        """
        moment = int(since.timestamp()) if since else 0
        with translated_errors():
            charges = self._charges.list({"created": {"gte": moment}, "limit": 100}).auto_paging_iter()
            for charge in chain(charges, self._refunded_since(moment) if since else ()):
                if charge.captured and charge.status == "succeeded" and "payment" in charge.metadata:
                    yield self._statement_entry(charge)

    def _refunded_since(self, moment: int) -> Iterator[stripe.Charge]:
        refunds = self._refunds.list({"created": {"gte": moment}, "limit": 100, "expand": ["data.charge"]})
        expanded = (refund.charge for refund in refunds.auto_paging_iter() if isinstance(refund.charge, stripe.Charge))
        yield from {charge.id: charge for charge in expanded if charge.created < moment}.values()

    def _statement_entry(self, charge: stripe.Charge) -> StatementEntry:
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
        with translated_errors():
            intents = self._intents.search({"query": f"metadata['payment']:'{charge.idempotency_key}'"}).data
        return self._retrieve(intents[0].id) if intents else None

    def _retrieve(self, intent_id: str) -> PaymentIntent:
        with translated_errors():
            return self._intents.retrieve(intent_id)

    def _create(self, charge: ChargeRequest) -> PaymentIntent:
        with translated_errors(InvalidRequestError):
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
            with translated_errors(CardError, InvalidRequestError, moves=True):
                confirmed = self._confirm_once(intent, charge)
        except (CardError, InvalidRequestError) as error:
            current = self._retrieve(intent.id)
            return self._decline(current, code_of(error)) if is_unconfirmed(current) else self._answer(current)
        return self._answer(confirmed)

    def _confirm_once(self, intent: PaymentIntent, charge: ChargeRequest) -> PaymentIntent:
        method, key = charge.payment_method, f"{charge.idempotency_key}-confirm"
        try:
            return self._intents.confirm(intent.id, {"payment_method": method}, {"idempotency_key": key})
        except stripe.APIError as error:
            if "idempotent-replayed" not in (error.headers or {}):
                raise
            # Stripe replays an old failure while it keeps the key; without a key, the intent still captures once.
            return self._intents.confirm(intent.id, {"payment_method": method})

    def _answer(self, intent: PaymentIntent) -> Answer:
        if intent.status in UNCONFIRMED and intent.last_payment_error:
            return self._decline(intent, reason_of(intent))
        return answer_of(intent)

    def _decline(self, intent: PaymentIntent, reason: str) -> Answer:
        """
        Cancel an intent that failed, since Stripe would let it be confirmed again ("How PaymentIntents work").
        """
        cancelled = self._withdraw(intent, "abandoned")
        if cancelled.status == "canceled":
            return Answer(outcome=Outcome.DECLINED, reference=intent.id, reason=reason)
        return answer_to_cancel(cancelled)

    def _withdraw(self, intent: PaymentIntent, reason: Any) -> PaymentIntent:
        if intent.status in ("succeeded", "canceled"):
            return intent
        with suppress(InvalidRequestError), translated_errors(InvalidRequestError, moves=True):
            return self._intents.cancel(intent.id, {"cancellation_reason": reason})
        return self._retrieve(intent.id)

    def _find_refund(self, request: RefundRequest) -> Refund | None:
        with translated_errors():
            refunds = self._refunds.list({"payment_intent": request.charge_reference, "limit": 100})
            for refund in refunds.auto_paging_iter():
                if metadata(refund).get("refund") == request.idempotency_key:
                    return refund
        return None

    def _create_refund(self, request: RefundRequest) -> Refund:
        with translated_errors(InvalidRequestError, moves=True):
            return self._refunds.create(
                {
                    "payment_intent": request.charge_reference,
                    "amount": to_stripe(request.amount, request.currency),
                    "metadata": {"refund": request.idempotency_key},
                },
                {"idempotency_key": request.idempotency_key},
            )
