"""
The adapter to the payment simulator, over HTTP. Its webhooks are signed by Standard Webhooks.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import urllib3
from django.conf import settings
from standardwebhooks import Webhook

from payments.gateway.adapters.instant import InstantGateway
from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    InvalidSignature,
    MalformedPayload,
    Money,
    Outcome,
    RefundRequest,
    StatementEntry,
    TimedOut,
    TimestampOutOfTolerance,
    Unreachable,
    WebhookPayload,
)

MOST_CALLERS = 5
"""Subscribers that call the gateway at the same time, each with so many calls as settings permit."""
TOLERANCE = timedelta(minutes=5)
TIMESTAMP = re.compile(r"[0-9]{10}", re.ASCII)
EVENT_ID = re.compile(r"[!-\-/-~]{1,255}", re.ASCII)
"""Without a full stop, the separator in the signed text."""
REJECTED = {429, 503}
"""Statuses that say that the request was not executed."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Raised by the decoder for bodies that are malformed, of another type, or nested too deeply."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{0,100}\Z")]
Word = Annotated[str, msgspec.Meta(pattern=r"^[^\0]{0,100}\Z")]
Page = Annotated[str, msgspec.Meta(pattern=r"^(https?://[!-~]{1,490})?\Z")]
Amount = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

T = TypeVar("T")


class _Captured(msgspec.Struct):
    amount: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    currency: Currency


class _ChargeOrRefund(msgspec.Struct):
    status: Outcome
    reference: Name = ""
    reason: Word = ""
    captured: _Captured | None = None
    page: Page = ""


class _RefundEntry(msgspec.Struct):
    key: str
    amount: Amount


class _Entry(msgspec.Struct):
    charge_key: str
    reference: Name
    order_id: str
    amount: Amount
    currency: Currency
    captured_at: Moment
    refunds: list[_RefundEntry]


class _Statement(msgspec.Struct):
    captures: list[_Entry]


class _WebhookData(msgspec.Struct):
    key: Annotated[Name, msgspec.Meta(min_length=1)]
    reference: Name
    order_id: str
    status: Outcome
    amount: Amount
    currency: Currency


class _WebhookBody(msgspec.Struct):
    data: _WebhookData


class SimulatedGateway:
    """
    Call the simulator at PAYMENT_SIMULATOR_URL, and accept webhooks signed with one of PAYMENT_WEBHOOK_SECRETS.
    """

    checkout = InstantGateway.checkout

    def charge(self, charge: ChargeRequest) -> Answer:
        body = {name: getattr(charge, name) for name in ("amount", "currency", "payment_method", "order_id")}
        return _answer(self._call("POST", "charges", key=charge.idempotency_key, body=body))

    def look_up(self, charge: ChargeRequest) -> Answer:
        return _answer(self._call("GET", "charges", charge.idempotency_key))

    def cancel(self, charge: ChargeRequest) -> Answer:
        return _answer(self._call("POST", "charges", charge.idempotency_key, "cancel"))

    def refund(self, request: RefundRequest) -> Answer:
        body = {"amount": request.amount, "currency": request.currency}
        path = ("charges", request.charge_reference, "refunds")
        return _answer(self._call("POST", *path, key=request.idempotency_key, body=body))

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        return read_payload(_verified_id(body, headers, now), body)

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        query = "?" + urlencode({"since": since.isoformat()}) if since else ""
        status, body = self._call("GET", f"statement{query}")
        if status != 200:
            raise TimedOut(f"The gateway gave no statement, but answered {status}.")
        return [_statement_entry(entry) for entry in _read(body, _Statement).captures]

    def _call(self, method: str, *path: str, key: str = "", body: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
        """
        Make a request and return the status and the body of its response.

        :param path: a resource, with its query, then names that are quoted.
        :raises Unreachable: if the request was not executed.
        :raises TimedOut: if there was no response.
        """
        first, *rest = path
        url = "/".join([settings.PAYMENTS.simulator_url.rstrip("/"), "v1", first, *map(_path_segment, rest)])
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        try:
            response = self._connections.request(
                method, url, body=msgspec.json.encode(body) if body else None, headers=headers, redirect=False
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            advice = "Start `manage.py payment_simulator`, or set PAYMENT_SIMULATOR_URL to where it runs."
            raise Unreachable(f"The gateway cannot be reached: {error}. {advice}") from error
        except urllib3.exceptions.HTTPError as error:
            raise TimedOut(f"The gateway did not answer: {error}") from error
        if response.status in REJECTED:
            raise Unreachable(f"The gateway rejects requests for now: {response.status}.")
        return response.status, response.data

    @cached_property
    def _connections(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(
            maxsize=MOST_CALLERS * settings.MESSAGING.outside_calls_at_once,
            retries=False,
            timeout=urllib3.Timeout(connect=2, read=settings.PAYMENTS.timeout_seconds),
        )


def read_payload(event_id: str, body: bytes) -> WebhookPayload:
    """
    Read the body of a webhook whose signature was verified.

    :raises MalformedPayload: if it cannot be read.
    """
    try:
        data = msgspec.json.decode(body, type=_WebhookBody).data
    except UNREADABLE as error:
        raise MalformedPayload(str(error)) from error
    return WebhookPayload(
        event_id=event_id,
        fingerprint=sha256(body).hexdigest(),
        charge_key=data.key,
        order_id=data.order_id,
        reference=data.reference,
        outcome=data.status,
        claimed=Money(data.amount, data.currency),
    )


def _answer(called: tuple[int, bytes]) -> Answer:
    status, body = called
    if status == 404:
        return Answer(outcome=Outcome.ABSENT)
    if status not in {200, 202}:
        raise TimedOut(f"The gateway answered {status}, which does not say whether the money moved.")
    state = _read(body, _ChargeOrRefund)
    captured = Money(state.captured.amount, state.captured.currency) if state.captured else None
    return Answer(
        outcome=state.status, reference=state.reference, reason=state.reason, captured=captured, page=state.page
    )


def _read(body: bytes, kind: type[T]) -> T:
    """
    Decode the body of a response.

    :raises TimedOut: if it cannot be read, since then the money may have moved.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE as error:
        raise TimedOut(f"The gateway's answer cannot be read: {error}") from error


def _path_segment(name: str) -> str:
    """
    Quote a name as one segment of a URL path: a slash or two full stops would address another resource.
    """
    return quote(name, safe="").replace(".", "%2E")


def _statement_entry(entry: _Entry) -> StatementEntry:
    return StatementEntry(
        charge_key=entry.charge_key,
        order_id=entry.order_id,
        reference=entry.reference,
        captured=Money(entry.amount, entry.currency),
        captured_at=entry.captured_at,
        refunds={refund.key: refund.amount for refund in entry.refunds},
    )


def _verified_id(body: bytes, headers: Mapping[str, str], now: datetime) -> str:
    """
    Return the id of a webhook after verifying its signature and time (Standard Webhooks 1.0).

    :raises InvalidSignature: if no secret verifies it.
    :raises TimestampOutOfTolerance: if it was signed more than five minutes ago or ahead.
    """
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (EVENT_ID.fullmatch(event_id) and TIMESTAMP.fullmatch(timestamp)):
        raise InvalidSignature("The webhook has no valid id or timestamp.")
    signed_at = datetime.fromtimestamp(int(timestamp), UTC)
    signatures = headers.get("webhook-signature", "").encode("utf-8", "replace").split(b" ")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidSignature("The body is not UTF-8.") from None
    valid = [Webhook(secret).sign(event_id, signed_at, text).encode() for secret in settings.PAYMENTS.webhook_secrets]
    if not any(hmac.compare_digest(one, other) for one in signatures for other in valid):
        raise InvalidSignature("No webhook secret verifies the signature.")
    if abs(now - signed_at) > TOLERANCE:
        raise TimestampOutOfTolerance("The webhook was signed more than five minutes ago, or ahead.")
    return event_id
