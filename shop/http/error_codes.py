"""
Every `code` by which the API names an error: its status, what it means, and what its reader can do about it.

A code never changes its meaning. The page at /problems/ shows this table, and each error links to its row there.
"""

import logging
from typing import NamedTuple

from django.conf import settings

logger = logging.getLogger(__name__)


class Code(NamedTuple):
    status: int
    title: str
    advice: str


CATALOGUE = {
    # The request as such
    "bad_request": Code(400, "Not a request we can read", "Check address, headers and body."),
    "malformed_json": Code(400, "The body is not JSON", "Send one JSON object (RFC 8259) and nothing after it."),
    "not_an_object": Code(400, "The body is not a JSON object", "Send an object: {…}."),
    "too_deep": Code(400, "The body is nested too deeply", "Send what the schema describes; it needs no such depth."),
    "invalid_utf8": Code(400, "The body is not UTF-8", "Encode the body as UTF-8."),
    "invalid_characters": Code(400, "A character no text may have", "Send neither NUL nor half of a surrogate pair."),
    "duplicate_key": Code(400, "A key stands twice", "Send each member of an object once."),
    "unknown_field": Code(400, "A field nobody asked for", "Leave it out; the shop sets prices, states and ids."),
    "invalid_field": Code(400, "A field has a wrong value", "Correct the fields named in `errors`."),
    "invalid_parameter": Code(400, "A query parameter has a wrong value", "Correct the parameters named in `errors`."),
    # Orders
    "empty_order": Code(400, "An order without lines", "Order at least one product."),
    "invalid_lines": Code(400, "The lines are no list of lines", "Send a list of {sku, quantity}."),
    "too_many_lines": Code(400, "Too many lines", "Split the order."),
    "invalid_sku": Code(400, "Not a sku", "Send the sku as the product list writes it."),
    "unknown_sku": Code(400, "No such product", "Look at the product list."),
    "sku_not_available": Code(400, "Not sold any more", "Order another product."),
    "invalid_quantity": Code(400, "Not a quantity", "Send a whole number of at least 1, without quotes or decimals."),
    "quantity_too_large": Code(400, "More than one order may have", "Order less, or ask the shop."),
    "total_too_large": Code(400, "The order costs too much", "Split the order."),
    "invalid_amount": Code(400, "Not an amount of money", "Send a whole number of minor units, such as pence."),
    "invalid_price": Code(400, "Not a price", "Send a whole number of minor units, such as pence."),
    "currency_mismatch": Code(400, "Not the shop's currency", "Send the currency of the product list, or none."),
    "invalid_payment_method": Code(400, "Not a payment method", "Send a token of the payment gateway."),
    "invalid_email": Code(400, "Not an e-mail address", "Send one plain address, or none to use your account's."),
    "invalid_phone": Code(400, "Not a phone number", "Send it in E.164 form, such as +441134960000."),
    "invalid_note": Code(400, "Not a note", "Send a text of at most 500 characters."),
    "price_changed": Code(409, "The price is not what you saw", "Look at the prices, then order with the new total."),
    "too_many_open_orders": Code(409, "Too many open orders", "Wait until some are final, or cancel some."),
    "invalid_state": Code(409, "Too late, or too early", "Look at the order: it is in another state by now."),
    # Webhooks of the payment gateway
    "malformed_event": Code(400, "Not an event we can read", "Send what the gateway's documentation describes."),
    "event_id_conflict": Code(409, "The id stands for another event", "Send each event under an id of its own."),
    # Tokens and signing keys
    "invalid_name": Code(400, "Not a name", "Send a text of 1 to 100 characters."),
    "invalid_expiry": Code(400, "Not a lifetime", "Send a whole number of days from 1 to 365."),
    "invalid_algorithm": Code(400, "Not an algorithm we verify", "Send hmac-sha256 or ed25519."),
    "invalid_public_key": Code(
        400, "Not a public key", "For ed25519 send its 32 bytes in base64, or PEM; for hmac-sha256 none."
    ),
    "limit_reached": Code(409, "As many as you may have", "Revoke one that you do not use."),
    # Repeating
    "idempotency_key_missing": Code(
        400, "No Idempotency-Key", "Send a key that is new for each order and the same when you repeat one."
    ),
    "idempotency_key_invalid": Code(400, "Not an Idempotency-Key", "Send 1 to 255 visible ASCII characters, once."),
    "request_in_progress": Code(409, "This very request is being worked on", "Repeat it after `Retry-After` seconds."),
    "idempotency_key_reused": Code(422, "The key belongs to another order", "Send a new key with a new order."),
    # Who asks
    "not_authenticated": Code(401, "We do not know you", "Log in, or send `Authorization: Token …`."),
    "invalid_token": Code(401, "The token opens nothing", "Get a new token: it is unknown, revoked or expired."),
    "invalid_credentials": Code(401, "Wrong name or password", "Check both; each failure is counted."),
    "signature_required": Code(401, "The request is not signed", "Sign it: this account takes signed requests only."),
    "invalid_signature": Code(401, "The signature does not fit", "Check key and covered components, then sign anew."),
    "timestamp_out_of_tolerance": Code(401, "Signed too long ago, or ahead", "Check your clock, then sign anew."),
    "replayed_request": Code(401, "The nonce was used before", "Sign again with a new nonce."),
    "permission_denied": Code(403, "Not for you", "Ask the shop for the permission, if you need it."),
    "csrf_failed": Code(403, "The form did not come from our page", "Load the page again, then send its form."),
    "throttled": Code(429, "Too many requests", "Wait `Retry-After` seconds."),
    # HTTP
    "not_found": Code(404, "Not found", "There is nothing at this address, or nothing of yours. Check it."),
    "method_not_allowed": Code(405, "Not what can be done here", "Use a method that `Allow` lists."),
    "not_acceptable": Code(406, "Not a format we write", "Accept application/json or text/html."),
    "length_required": Code(411, "The body has no length", "Send `Content-Length`; chunked bodies are not taken."),
    "body_too_large": Code(413, "The body is too large", "Send less."),
    "unsupported_media_type": Code(415, "Not a format we read", "Send `Content-Type: application/json`."),
    "unsupported_charset": Code(415, "Not a charset we read", "Send UTF-8."),
    "unsupported_encoding": Code(415, "Not an encoding we read", "Send the body without `Content-Encoding`."),
    # Us
    "internal_error": Code(500, "We failed", "Report the request id to the shop."),
    "unavailable": Code(
        503,
        "Service unavailable",
        "Repeat the request after `Retry-After` seconds, with the same `Idempotency-Key` if you sent one.",
    ),
}

BY_STATUS = {
    400: "bad_request",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "invalid_state",
    411: "length_required",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "idempotency_key_reused",
    429: "throttled",
    500: "internal_error",
    503: "unavailable",
}
"""The code of an error that says no more than its status."""

FRAMEWORK_CODES = frozenset(
    {
        *("authentication_failed", "error", "parse_error"),
        *("blank", "empty", "invalid", "invalid_choice", "null", "required"),
        *("max_length", "max_value", "min_length", "min_value", "null_characters_not_allowed"),
    }
)
"""Codes of Django and its REST framework that say no more than the status, or the place of the value, does."""


class UnknownErrorCode(Exception):
    """
    An error has a code that is not in the catalogue. Add it there, or correct its spelling.
    """


def resolve(code: str, *, default: str) -> str:
    """
    Return this code, or the default for an error that has none or one of a framework's.

    :raises UnknownErrorCode: if the code is unknown and STRICT_ERROR_CODES is set; otherwise it is logged.
    """
    if code in CATALOGUE:
        return code
    if code and code not in FRAMEWORK_CODES:
        if settings.STRICT_ERROR_CODES:
            raise UnknownErrorCode(code)
        logger.error("The error code %r is not in the catalogue; the response says %r.", code, default)
    return default
