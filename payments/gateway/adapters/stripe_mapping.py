"""
Stripe's objects, events and errors, mapped to the gateway protocol.
"""

import hashlib
import json
import operator
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import stripe
from requests.exceptions import ConnectTimeout
from stripe import InvalidRequestError, PaymentIntent, Refund
from urllib3.exceptions import NewConnectionError

from messaging.kernel.money import minor_unit_digits
from payments.gateway.protocol import Answer, Money, Outcome, TimedOut, Unreachable, WebhookPayload

NOT_EXECUTED = (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError, InvalidRequestError)
UNCONFIRMED = ("requires_payment_method", "requires_confirmation")
INTENT_OUTCOMES = {"succeeded": Outcome.SUCCEEDED, "canceled": Outcome.CANCELLED}
INTENT_OUTCOMES |= dict.fromkeys(UNCONFIRMED, Outcome.ABSENT)
REFUND_OUTCOMES = {"succeeded": Outcome.SUCCEEDED, "failed": Outcome.DECLINED, "canceled": Outcome.DECLINED}
EVENT_OUTCOMES = {"succeeded": Outcome.SUCCEEDED, "canceled": Outcome.CANCELLED, "payment_failed": Outcome.DECLINED}
EVENT_OUTCOMES |= dict.fromkeys(("processing", "requires_action", "amount_capturable_updated"), Outcome.PROCESSING)
NO_DIGITS = ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
DIGITS = dict.fromkeys(NO_DIGITS, 0) | dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3)
"""Of Stripe's amounts, by currency; all others have two, also ISK and UGX ("Supported currencies")."""


@contextmanager
def translated_errors(*passed: type[stripe.StripeError], moves: bool = False) -> Iterator[None]:
    """
    Raise Stripe's errors as those of the gateway protocol, except the classes that are passed.

    :param moves: whether a request may move money, so that a lost answer leaves its outcome unknown.
    :raises TimedOut: if the request may have moved money.
    :raises Unreachable: if it has not.
    """
    try:
        yield
    except stripe.StripeError as error:
        if isinstance(error, passed) and not _is_misconfigured(error):
            raise
        raise (TimedOut if moves and _may_have_moved_money(error) else Unreachable)(str(error)) from error


def _is_misconfigured(error: stripe.StripeError) -> bool:
    """
    Return whether Stripe has no such URL or object: then the settings name another server or account.
    """
    missing = error.http_status == 404 or error.code == "resource_missing"
    return missing and getattr(error, "param", None) != "payment_method"


def _may_have_moved_money(error: stripe.StripeError) -> bool:
    if isinstance(error, stripe.APIConnectionError):
        cause: Any = error.__cause__
        unsent = getattr(cause.args[0], "reason", None) if cause and cause.args else None
        return not isinstance(cause, ConnectTimeout) and not isinstance(unsent, NewConnectionError)
    locked = error.error is not None and getattr(error.error, "code", "") == "lock_timeout"
    return locked or not isinstance(error, NOT_EXECUTED)


def answer_of(intent: PaymentIntent) -> Answer:
    outcome = INTENT_OUTCOMES.get(intent.status, Outcome.PROCESSING)
    if intent.status == "canceled" and (intent.last_payment_error or intent.cancellation_reason == "abandoned"):
        return Answer(outcome=Outcome.DECLINED, reference=intent.id, reason=reason_of(intent))
    captured = money(intent.amount_received, intent.currency) if outcome is Outcome.SUCCEEDED else None
    return Answer(outcome=outcome, reference=intent.id, captured=captured, page=_page(intent))


def reason_of(intent: PaymentIntent) -> str:
    failure = intent.last_payment_error.to_dict() if intent.last_payment_error else {}
    return failure.get("decline_code") or failure.get("code") or "declined"


def _page(intent: PaymentIntent) -> str:
    action: dict[str, Any] = intent.next_action.to_dict() if intent.next_action else {}
    details = action.get(action.get("type", ""), {})
    return next((page for name, page in details.items() if name == "url" or name.startswith("hosted_")), None) or ""


def answer_to_cancel(intent: PaymentIntent) -> Answer:
    """
    Return the answer about an intent after its cancellation.

    :raises TimedOut: if the intent may still be confirmed.
    """
    if intent.status in UNCONFIRMED:
        raise TimedOut("Stripe did not cancel this charge, which may still be confirmed.")
    return answer_of(intent)


def is_unconfirmed(intent: PaymentIntent) -> bool:
    return intent.status in UNCONFIRMED and not intent.last_payment_error


def code_of(error: stripe.StripeError) -> str:
    return error.code or "invalid_request_error"


def declined_by(error: stripe.StripeError) -> Answer:
    return Answer(outcome=Outcome.DECLINED, reason=code_of(error))


def is_signed(body: bytes, header: str, secret: str) -> bool:
    with suppress(stripe.SignatureVerificationError, ValueError, TypeError):
        return bool(stripe.WebhookSignature.verify_header(body, header, secret))
    return False


def read_event(event: Any) -> WebhookPayload | None:
    topic, _, change = event["type"].partition(".")
    if topic != "payment_intent" or change not in EVENT_OUTCOMES:
        return None
    intent, outcome = event["data"]["object"], EVENT_OUTCOMES[change]
    if not intent["metadata"].keys() & {"payment", "order_id"}:
        return None  # of another program that shares the account
    amount = intent["amount_received" if outcome is Outcome.SUCCEEDED else "amount"]
    claimed = money(amount, intent["currency"])
    charge_key = intent["metadata"].get("payment", intent["id"])
    order_id = intent["metadata"].get("order_id", "")
    texts = [event["id"], intent["id"], intent["status"], charge_key, order_id]
    if not all(isinstance(text, str) for text in texts) or isinstance(amount, bool):
        raise TypeError("Ids must be strings, and amounts numbers.")
    claims = json.dumps([event["type"], *texts[1:], intent["amount"], intent["amount_received"], claimed.currency])
    return WebhookPayload(
        event_id=event["id"],
        fingerprint=hashlib.sha256(claims.encode()).hexdigest(),
        charge_key=charge_key,
        order_id=order_id,
        reference=intent["id"],
        outcome=outcome,
        claimed=claimed,
    )


def metadata(labelled: stripe.Charge | Refund) -> dict[str, str]:
    return labelled.metadata.to_dict() if labelled.metadata else {}


def money(amount: int, currency: str) -> Money:
    return Money(from_stripe(operator.index(amount), currency), currency.upper())


def to_stripe(amount: int, currency: str) -> int:
    """
    Return an amount in Stripe's units, given the minor units of ISO 4217: 250000 for 2500 ISK, 25 for 2500 MGA.

    :raises InvalidRequestError: if Stripe's unit is larger and the amount is no multiple of it.
    """
    units, iso_units = _units_in_one(currency)
    if amount * units % iso_units:
        problem = f"{amount} minor units of {currency} are no multiple of Stripe's unit."
        raise InvalidRequestError(problem, "amount", code="amount_not_supported")  # type: ignore[no-untyped-call]
    return amount * units // iso_units


def from_stripe(amount: int, currency: str) -> int:
    """
    Return an amount in minor units of ISO 4217, given Stripe's units.
    """
    units, iso_units = _units_in_one(currency)
    return amount * iso_units // units


def _units_in_one(currency: str) -> tuple[int, int]:
    """
    Return how many of Stripe's units and how many minor units make one unit of a currency.
    """
    code = currency.upper()
    return int(10 ** DIGITS.get(code, 2)), int(10 ** minor_unit_digits(code))
