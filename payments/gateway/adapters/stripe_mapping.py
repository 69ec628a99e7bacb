"""
What Stripe's objects, events and errors say, in the words of the gateway.
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

MOVES_NOTHING = (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError, InvalidRequestError)
UNTOUCHED = ("requires_payment_method", "requires_confirmation")
OUTCOMES = {"succeeded": Outcome.SUCCEEDED, "canceled": Outcome.CANCELLED} | dict.fromkeys(UNTOUCHED, Outcome.ABSENT)
REFUNDS = {"succeeded": Outcome.SUCCEEDED, "failed": Outcome.DECLINED, "canceled": Outcome.DECLINED}
CLAIMS = {"succeeded": Outcome.SUCCEEDED, "canceled": Outcome.CANCELLED, "payment_failed": Outcome.DECLINED}
CLAIMS |= dict.fromkeys(("processing", "requires_action", "amount_capturable_updated"), Outcome.PROCESSING)
WHOLE = ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
DECIMALS = dict.fromkeys(WHOLE, 0) | dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3)
"""In Stripe's amounts, otherwise two, also of ISK and UGX ("Supported currencies")."""


@contextmanager
def asking(*refusals: type[stripe.StripeError], moves: bool = False) -> Iterator[None]:
    """
    Tell the gateway's failures in our words, except these refusals; only a call that moves something leaves doubt.
    """
    try:
        yield
    except stripe.StripeError as failure:
        if isinstance(failure, refusals) and not _is_astray(failure):
            raise
        raise (TimedOut if moves and _leaves_doubt(failure) else Unreachable)(str(failure)) from failure


def _is_astray(failure: stripe.StripeError) -> bool:
    """
    Tell whether Stripe knows no such address or intent: then the settings are wrong, of its server or account.
    """
    missing = failure.http_status == 404 or failure.code == "resource_missing"
    return missing and getattr(failure, "param", None) != "payment_method"


def _leaves_doubt(failure: stripe.StripeError) -> bool:
    if isinstance(failure, stripe.APIConnectionError):
        cause: Any = failure.__cause__
        unsent = getattr(cause.args[0], "reason", None) if cause and cause.args else None
        return not isinstance(cause, ConnectTimeout) and not isinstance(unsent, NewConnectionError)
    locked = failure.error is not None and getattr(failure.error, "code", "") == "lock_timeout"
    return locked or not isinstance(failure, MOVES_NOTHING)


def answer_of(intent: PaymentIntent) -> Answer:
    outcome = OUTCOMES.get(intent.status, Outcome.PROCESSING)
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


def final(intent: PaymentIntent) -> Answer:
    if intent.status in UNTOUCHED:
        raise TimedOut("Stripe would not cancel this charge, though it could still be made.")
    return answer_of(intent)


def is_untouched(intent: PaymentIntent) -> bool:
    return intent.status in UNTOUCHED and not intent.last_payment_error


def code_of(refusal: stripe.StripeError) -> str:
    return refusal.code or "invalid_request_error"


def declined(refusal: stripe.StripeError) -> Answer:
    return Answer(outcome=Outcome.DECLINED, reason=code_of(refusal))


def is_signed(body: bytes, header: str, secret: str) -> bool:
    with suppress(stripe.SignatureVerificationError, ValueError, TypeError):
        return bool(stripe.WebhookSignature.verify_header(body, header, secret))
    return False


def read_event(event: Any) -> WebhookPayload | None:
    topic, _, change = event["type"].partition(".")
    if topic != "payment_intent" or change not in CLAIMS:
        return None
    intent, outcome = event["data"]["object"], CLAIMS[change]
    if not intent["metadata"].keys() & {"payment", "order_id"}:
        return None  # another program's, that shares the account
    amount = intent["amount_received" if outcome is Outcome.SUCCEEDED else "amount"]
    claimed = money(amount, intent["currency"])
    charge_key = intent["metadata"].get("payment", intent["id"])
    order_id = intent["metadata"].get("order_id", "")
    texts = [event["id"], intent["id"], intent["status"], charge_key, order_id]
    if not all(isinstance(text, str) for text in texts) or isinstance(amount, bool):
        raise TypeError("Names are texts, and amounts are numbers.")
    said = json.dumps([event["type"], *texts[1:], intent["amount"], intent["amount_received"], claimed.currency])
    return WebhookPayload(
        event_id=event["id"],
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        charge_key=charge_key,
        order_id=order_id,
        reference=intent["id"],
        outcome=outcome,
        claimed=claimed,
    )


def metadata(thing: stripe.Charge | Refund) -> dict[str, str]:
    return thing.metadata.to_dict() if thing.metadata else {}


def money(amount: int, currency: str) -> Money:
    return Money(from_stripe(operator.index(amount), currency), currency.upper())


def to_stripe(amount: int, currency: str) -> int:
    """
    Return an amount in Stripe's units, given the minor units of ISO 4217: 250000 for 2500 ISK, 25 for 2500 MGA.

    :raises ValueError: if Stripe's unit is larger and the amount is no multiple of it.
    """
    units, iso_units = _units_in_one(currency)
    if amount * units % iso_units:
        raise ValueError(f"{amount} minor units of {currency} are no whole number of Stripe's units.")
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
    return int(10 ** DECIMALS.get(code, 2)), int(10 ** minor_unit_digits(code))
