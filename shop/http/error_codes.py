"""
The catalogue of error codes: the status of each, its title, and what the client can do about it.

A code never changes its meaning. The page /problems/ shows the catalogue, and each error links to its code there.
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
    # The request
    "bad_request": Code(400, "Bad request", "Check the URL, the headers and the body."),
    "malformed_json": Code(400, "Malformed JSON", "Send one JSON object (RFC 8259) and nothing after it."),
    "not_an_object": Code(400, "Not a JSON object", "Send an object: {…}."),
    "too_deep": Code(400, "JSON nested too deeply", "Send what the schema describes; it needs no such depth."),
    "invalid_utf8": Code(400, "Invalid UTF-8", "Encode the body as UTF-8."),
    "invalid_characters": Code(400, "Invalid characters", "Send no NUL and no unpaired surrogate."),
    "duplicate_key": Code(400, "Duplicate key", "Send each member of an object once."),
    "unknown_field": Code(400, "Unknown field", "Leave it out; the shop sets prices, states and ids."),
    "invalid_field": Code(400, "Invalid field", "Correct the fields named in `errors`."),
    "invalid_parameter": Code(400, "Invalid query parameter", "Correct the parameters named in `errors`."),
    # Orders
    "empty_order": Code(400, "Empty order", "Order at least one product."),
    "invalid_lines": Code(400, "Invalid lines", "Send a list of {sku, quantity}."),
    "too_many_lines": Code(400, "Too many lines", "Split the order."),
    "invalid_sku": Code(400, "Invalid SKU", "Send the SKU as in the product list."),
    "unknown_sku": Code(400, "Unknown product", "Look at the product list."),
    "sku_not_available": Code(400, "Product no longer sold", "Order another product."),
    "invalid_quantity": Code(400, "Invalid quantity", "Send an integer of at least 1, without quotes or decimals."),
    "quantity_too_large": Code(400, "Quantity too large", "Order less, or ask the shop."),
    "total_too_large": Code(400, "Total too large", "Split the order."),
    "invalid_amount": Code(400, "Invalid amount", "Send an integer in minor units, such as pence."),
    "invalid_price": Code(400, "Invalid price", "Send an integer in minor units, such as pence."),
    "currency_mismatch": Code(400, "Currency mismatch", "Send the currency of the product list, or none."),
    "invalid_payment_method": Code(400, "Invalid payment method", "Send a token of the payment gateway."),
    "invalid_email": Code(400, "Invalid e-mail address", "Send one plain address, or none to use your account's."),
    "invalid_phone": Code(400, "Invalid phone number", "Send it in E.164 format, such as +441134960000."),
    "invalid_note": Code(400, "Invalid note", "Send a text of at most 500 characters."),
    "price_changed": Code(409, "Price changed", "Check the prices, then order with the new total."),
    "too_many_open_orders": Code(409, "Too many open orders", "Wait until some are final, or cancel some."),
    "invalid_state": Code(409, "Invalid state", "Fetch the resource: its state has changed, or does not allow this."),
    # Webhooks of the payment gateway
    "malformed_event": Code(400, "Malformed event", "Send what the gateway's documentation describes."),
    "event_id_conflict": Code(409, "Event id conflict", "Send each event with an id of its own."),
    # Tokens and signing keys
    "invalid_name": Code(400, "Invalid name", "Send a text of 1 to 100 characters."),
    "invalid_expiry": Code(400, "Invalid lifetime", "Send an integer number of days from 1 to 365."),
    "invalid_algorithm": Code(400, "Unsupported algorithm", "Send hmac-sha256 or ed25519."),
    "invalid_public_key": Code(
        400, "Invalid public key", "For ed25519 send its 32 bytes in base64, or PEM; for hmac-sha256 none."
    ),
    "limit_reached": Code(409, "Limit reached", "Revoke one that you do not use."),
    # Idempotency
    "idempotency_key_missing": Code(
        400, "Idempotency-Key missing", "Send a new key with each order, and the same key when you repeat a request."
    ),
    "idempotency_key_invalid": Code(400, "Invalid Idempotency-Key", "Send 1 to 255 visible ASCII characters, once."),
    "request_in_progress": Code(409, "Request in progress", "Repeat the request after `Retry-After` seconds."),
    "idempotency_key_reused": Code(422, "Idempotency-Key reused", "Send a new key with a new order."),
    # Authentication
    "not_authenticated": Code(401, "Authentication required", "Log in, or send `Authorization: Token …`."),
    "invalid_token": Code(401, "Invalid token", "Get a new token: this one is unknown, revoked or expired."),
    "invalid_credentials": Code(401, "Wrong username or password", "Check both. Failed logins are limited."),
    "signature_required": Code(401, "Signature required", "Sign the request: this account takes signed requests only."),
    "invalid_signature": Code(401, "Invalid signature", "Check the key and the covered components, then sign again."),
    "timestamp_out_of_tolerance": Code(401, "Timestamp out of tolerance", "Check your clock, then sign again."),
    "replayed_request": Code(401, "Replayed request", "Sign again with a new nonce."),
    "permission_denied": Code(403, "Permission denied", "Ask the shop for the permission, if you need it."),
    "csrf_failed": Code(403, "CSRF check failed", "Reload the page, then send its form again."),
    "throttled": Code(429, "Too many requests", "Wait `Retry-After` seconds."),
    # HTTP
    "not_found": Code(404, "Not found", "Check the URL: nothing is there, or nothing of yours."),
    "method_not_allowed": Code(405, "Method not allowed", "Use a method that `Allow` lists."),
    "not_acceptable": Code(406, "Not acceptable", "Accept application/json or text/html."),
    "length_required": Code(411, "Length required", "Send `Content-Length`; chunked bodies are rejected."),
    "body_too_large": Code(413, "Body too large", "Send a smaller body."),
    "unsupported_media_type": Code(415, "Unsupported media type", "Send `Content-Type: application/json`."),
    "unsupported_charset": Code(415, "Unsupported charset", "Send UTF-8."),
    "unsupported_encoding": Code(415, "Unsupported encoding", "Send the body without `Content-Encoding`."),
    # The shop
    "internal_error": Code(500, "Internal error", "Report the request id to the shop."),
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
"""The code of an error that is known by its status only."""

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
