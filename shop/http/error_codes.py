"""
The catalogue of error codes: the status of each, its title, and what the client can do about it.

A code never changes its meaning. The page /problems/ shows the catalogue, and each error links to its code there. The
texts here are English; who shows them translates them.
"""

import logging
from typing import NamedTuple

from django.conf import settings
from django.utils.translation import gettext_noop as _

logger = logging.getLogger(__name__)


class Code(NamedTuple):
    status: int
    title: str
    advice: str


CATALOGUE = {
    # The request
    "bad_request": Code(400, _("Bad request"), _("Check the URL, the headers and the body.")),
    "malformed_json": Code(400, _("Malformed JSON"), _("Send one JSON object (RFC 8259) and nothing after it.")),
    "not_an_object": Code(400, _("Not a JSON object"), _("Send an object: {…}.")),
    "too_deep": Code(400, _("JSON nested too deeply"), _("Send what the schema describes; it needs no such depth.")),
    "invalid_utf8": Code(400, _("Invalid UTF-8"), _("Encode the body as UTF-8.")),
    "invalid_characters": Code(400, _("Invalid characters"), _("Send no NUL and no unpaired surrogate.")),
    "duplicate_key": Code(400, _("Duplicate key"), _("Send each member of an object once.")),
    "unknown_field": Code(400, _("Unknown field"), _("Leave it out; the shop sets prices, states and ids.")),
    "invalid_field": Code(400, _("Invalid field"), _("Correct the fields named in `errors`.")),
    "invalid_parameter": Code(400, _("Invalid query parameter"), _("Correct the parameters named in `errors`.")),
    # Orders
    "empty_order": Code(400, _("Empty order"), _("Order at least one product.")),
    "invalid_lines": Code(400, _("Invalid lines"), _("Send a list of {sku, quantity}.")),
    "too_many_lines": Code(400, _("Too many lines"), _("Split the order.")),
    "invalid_sku": Code(400, _("Invalid SKU"), _("Send the SKU as in the product list.")),
    "unknown_sku": Code(400, _("Unknown product"), _("Look at the product list.")),
    "sku_not_available": Code(400, _("Product no longer sold"), _("Order another product.")),
    "invalid_quantity": Code(
        400, _("Invalid quantity"), _("Send an integer of at least 1, without quotes or decimals.")
    ),
    "quantity_too_large": Code(400, _("Quantity too large"), _("Order less, or ask the shop.")),
    "total_too_large": Code(400, _("Total too large"), _("Split the order.")),
    "invalid_amount": Code(400, _("Invalid amount"), _("Send an integer in minor units, such as pence.")),
    "invalid_price": Code(400, _("Invalid price"), _("Send an integer in minor units, such as pence.")),
    "currency_mismatch": Code(400, _("Currency mismatch"), _("Send the currency of the product list, or none.")),
    "invalid_payment_method": Code(400, _("Invalid payment method"), _("Send a token of the payment gateway.")),
    "invalid_email": Code(
        400, _("Invalid e-mail address"), _("Send one plain address, or none to use your account's.")
    ),
    "invalid_phone": Code(400, _("Invalid phone number"), _("Send it in E.164 format, such as +441134960000.")),
    "invalid_note": Code(400, _("Invalid note"), _("Send a text of at most 500 characters.")),
    "price_changed": Code(409, _("Price changed"), _("Check the prices, then order with the new total.")),
    "too_many_open_orders": Code(409, _("Too many open orders"), _("Wait until some are final, or cancel some.")),
    "invalid_state": Code(
        409, _("Invalid state"), _("Fetch the resource: its state has changed, or does not allow this.")
    ),
    # Webhooks of the payment gateway
    "malformed_event": Code(400, _("Malformed event"), _("Send what the gateway's documentation describes.")),
    "event_id_conflict": Code(409, _("Event id conflict"), _("Send each event with an id of its own.")),
    # Notifications
    "invalid_preferences": Code(
        400, _("Invalid preferences"), _("Send a list of {kind, channel, is_on} with values that the shop offers.")
    ),
    "required_notification": Code(
        400, _("Required notification"), _("Leave it on: the contract requires that the shop sends it.")
    ),
    "invalid_link": Code(
        404, _("Invalid link"), _("Copy the whole link from the message, or choose your notifications in your account.")
    ),
    # Accounts, tokens and signing keys
    "invalid_language": Code(400, _("Unsupported language"), _("Send en or de, or an empty text.")),
    "invalid_name": Code(400, _("Invalid name"), _("Send a text of 1 to 100 characters.")),
    "invalid_expiry": Code(400, _("Invalid lifetime"), _("Send an integer number of days from 1 to 365.")),
    "invalid_algorithm": Code(400, _("Unsupported algorithm"), _("Send hmac-sha256 or ed25519.")),
    "invalid_public_key": Code(
        400, _("Invalid public key"), _("For ed25519 send its 32 bytes in base64, or PEM; for hmac-sha256 none.")
    ),
    "wrong_password": Code(400, _("Wrong password"), _("Send your present password. Wrong ones are limited.")),
    "weak_password": Code(400, _("Password too weak"), _("Choose another password: `errors` says what is missing.")),
    "expired_link": Code(
        404,
        _("Link no longer valid"),
        _("Copy the whole link from the latest mail, or request a new one: it is valid for a limited time, and once."),
    ),
    "limit_reached": Code(409, _("Limit reached"), _("Revoke one that you do not use.")),
    # Idempotency
    "idempotency_key_missing": Code(
        400,
        _("Idempotency-Key missing"),
        _("Send a new key with each order, and the same key when you repeat a request."),
    ),
    "idempotency_key_invalid": Code(
        400, _("Invalid Idempotency-Key"), _("Send 1 to 255 visible ASCII characters, once.")
    ),
    "request_in_progress": Code(409, _("Request in progress"), _("Repeat the request after `Retry-After` seconds.")),
    "idempotency_key_reused": Code(422, _("Idempotency-Key reused"), _("Send a new key with a new order.")),
    # Authentication
    "not_authenticated": Code(401, _("Authentication required"), _("Log in, or send `Authorization: Token …`.")),
    "invalid_token": Code(401, _("Invalid token"), _("Get a new token: this one is unknown, revoked or expired.")),
    "invalid_credentials": Code(401, _("Wrong username or password"), _("Check both. Failed logins are limited.")),
    "signature_required": Code(
        401, _("Signature required"), _("Sign the request: this account takes signed requests only.")
    ),
    "invalid_signature": Code(
        401, _("Invalid signature"), _("Check the key and the covered components, then sign again.")
    ),
    "timestamp_out_of_tolerance": Code(401, _("Timestamp out of tolerance"), _("Check your clock, then sign again.")),
    "replayed_request": Code(401, _("Replayed request"), _("Sign again with a new nonce.")),
    "permission_denied": Code(403, _("Permission denied"), _("Ask the shop for the permission, if you need it.")),
    "csrf_failed": Code(403, _("CSRF check failed"), _("Reload the page, then send its form again.")),
    "throttled": Code(429, _("Too many requests"), _("Wait `Retry-After` seconds.")),
    # HTTP
    "not_found": Code(404, _("Not found"), _("Check the URL: nothing is there, or nothing of yours.")),
    "method_not_allowed": Code(405, _("Method not allowed"), _("Use a method that `Allow` lists.")),
    "not_acceptable": Code(406, _("Not acceptable"), _("Accept application/json or text/html.")),
    "length_required": Code(411, _("Length required"), _("Send `Content-Length`; chunked bodies are rejected.")),
    "body_too_large": Code(413, _("Body too large"), _("Send a smaller body.")),
    "unsupported_media_type": Code(415, _("Unsupported media type"), _("Send `Content-Type: application/json`.")),
    "unsupported_charset": Code(415, _("Unsupported charset"), _("Send UTF-8.")),
    "unsupported_encoding": Code(415, _("Unsupported encoding"), _("Send the body without `Content-Encoding`.")),
    # The shop
    "internal_error": Code(500, _("Internal error"), _("Report the request id to the shop.")),
    "unavailable": Code(
        503,
        _("Service unavailable"),
        _("Repeat the request after `Retry-After` seconds, with the same `Idempotency-Key` if you sent one."),
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
