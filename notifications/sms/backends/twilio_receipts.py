"""
Delivery receipts of Twilio: their signature, and what they report.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlsplit, urlunsplit

from .base import InvalidSignature, Outcome, Receipt

SUPPRESSIONS = {
    21211: "bounced",  # invalid number
    21217: "bounced",  # invalid number
    21610: "unsubscribed",  # the recipient answered STOP
    21614: "bounced",  # no mobile number
    30005: "bounced",  # unknown number
    30006: "bounced",  # landline, or a carrier that Twilio does not reach
}
"""Errors that every message to the number would cause, and the reasons of the suppressions that follow."""

OUTCOMES = {
    "accepted": Outcome.ACCEPTED,
    "queued": Outcome.ACCEPTED,
    "sending": Outcome.ACCEPTED,
    "sent": Outcome.ACCEPTED,
    "delivered": Outcome.DELIVERED,
    "read": Outcome.DELIVERED,
    "undelivered": Outcome.BOUNCED,
    "failed": Outcome.BOUNCED,
    "canceled": Outcome.BOUNCED,
}


def read(url: str, form: Mapping[str, Sequence[str]], signature: str, *, token: str) -> Receipt | None:
    """
    Verify a receipt, and return what it reports; none if that is no outcome.

    :param token: the secret of the account.
    :raises InvalidSignature: if Twilio has not signed it.
    """
    _verify(url, form, signature, token)
    fields = {name: values[-1] for name, values in form.items()}
    outcome = OUTCOMES.get(fields.get("MessageStatus", ""))
    if not outcome:
        return None
    code = int(fields["ErrorCode"]) if fields.get("ErrorCode", "").isdecimal() else 0
    return Receipt(
        provider_id=fields.get("MessageSid", ""),
        reference=parse_qs(urlsplit(url).query).get("notification", [""])[0],
        outcome=outcome,
        error=f"Twilio error {code}." if outcome is Outcome.BOUNCED else "",
        suppression=SUPPRESSIONS.get(code, ""),
    )


def _verify(url: str, form: Mapping[str, Sequence[str]], signature: str, token: str) -> None:
    """
    Verify a signature: HMAC-SHA1 by the token of the URL and then each field and its value, in order of the names.
    Twilio's own libraries accept the URL with its port and without.

    :raises InvalidSignature: if Twilio has not signed it.
    """
    fields = "".join(name + value for name in sorted(form) for value in sorted(set(form[name])))
    texts = [f"{spelling}{fields}".encode() for spelling in _with_and_without_port(url)]
    valid = [b64encode(hmac.digest(token.encode(), text, "sha1")) for text in texts]
    if not token or not any(hmac.compare_digest(signature.encode(), one) for one in valid):
        raise InvalidSignature("Twilio has not signed this request.")


def _with_and_without_port(url: str) -> list[str]:
    scheme, netloc, *rest = urlsplit(url)
    host, _, port = netloc.partition(":")
    port = port or ("443" if scheme == "https" else "80")
    return [urlunsplit((scheme, spelling, *rest)) for spelling in (host, f"{host}:{port}")]
