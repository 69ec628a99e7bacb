"""
The gateway that `manage.py payment_simulator` plays, over HTTP. It calls back with Standard Webhooks.
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

TOLERANCE = timedelta(minutes=5)
TIMESTAMP = re.compile(r"[0-9]{10}", re.ASCII)
EVENT_ID = re.compile(r"[!-\-/-~]{1,255}", re.ASCII)
"""Without a full stop, which parts it from the time and the body where they are signed."""
NOT_TAKEN = {429, 503}
"""Statuses by which a gateway says that it did nothing."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What comes of reading JSON that is none, says something else, or is nested without end."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{0,100}\Z")]
Word = Annotated[str, msgspec.Meta(pattern=r"^[^\0]{0,100}\Z")]
Page = Annotated[str, msgspec.Meta(pattern=r"^(https?://[!-~]{1,490})?\Z")]
Amount = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

Read = TypeVar("Read")


class _Captured(msgspec.Struct):
    amount: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    currency: Currency


class _State(msgspec.Struct):
    """
    A charge, or a refund, as the gateway tells of it.
    """

    status: Outcome
    reference: Name = ""
    reason: Word = ""
    captured: _Captured | None = None
    page: Page = ""


class _Repaid(msgspec.Struct):
    key: str
    amount: Amount


class _Movement(msgspec.Struct):
    charge_key: str
    reference: Name
    order_id: str
    amount: Amount
    currency: Currency
    captured_at: Moment
    refunds: list[_Repaid]


class _Statement(msgspec.Struct):
    captures: list[_Movement]


class _Told(msgspec.Struct):
    key: Annotated[Name, msgspec.Meta(min_length=1)]
    reference: Name
    order_id: str
    status: Outcome
    amount: Amount
    currency: Currency


class _Event(msgspec.Struct):
    """
    The body of a webhook.
    """

    data: _Told


class SimulatedGateway:
    """
    Ask the simulator at PAYMENT_SIMULATOR_URL, and take webhooks that one of PAYMENT_WEBHOOK_SECRETS has signed.
    """

    def __init__(self, url: str = "") -> None:
        self._url = url

    @property
    def url(self) -> str:
        address: str = self._url or settings.PAYMENTS.simulator_url
        return address.rstrip("/")

    def charge(self, charge: ChargeRequest) -> Answer:
        asked = {
            "amount": charge.amount,
            "currency": charge.currency,
            "payment_method": charge.payment_method,
            "order_id": charge.order_id,
        }
        return _answer(self._call("POST", "charges", key=charge.idempotency_key, body=asked))

    def look_up(self, charge: ChargeRequest) -> Answer:
        return _answer(self._call("GET", "charges", charge.idempotency_key))

    def cancel(self, charge: ChargeRequest) -> Answer:
        return _answer(self._call("POST", "charges", charge.idempotency_key, "cancel"))

    def refund(self, request: RefundRequest) -> Answer:
        asked = {"amount": request.amount, "currency": request.currency}
        path = ("charges", request.charge_reference, "refunds")
        return _answer(self._call("POST", *path, key=request.idempotency_key, body=asked))

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        event_id = _verified_id(body, headers, now)
        try:
            told = msgspec.json.decode(body, type=_Event).data
        except UNREADABLE as problem:
            raise MalformedPayload(str(problem)) from problem
        return WebhookPayload(
            event_id=event_id,
            fingerprint=sha256(body).hexdigest(),
            charge_key=told.key,
            order_id=told.order_id,
            reference=told.reference,
            outcome=told.status,
            claimed=Money(told.amount, told.currency),
        )

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        query = "?" + urlencode({"since": since.isoformat()}) if since else ""
        status, body = self._call("GET", f"statement{query}")
        if status != 200:
            raise TimedOut(f"The gateway gave no statement, but answered {status}.")
        return [_booking(movement) for movement in _read(body, _Statement).captures]

    def _call(self, method: str, *path: str, key: str = "", body: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
        """
        Make one call, and return its status and body.
        """
        first, *rest = path
        address = "/".join([f"{self.url}/v1/{first}", *map(_step, rest)])
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        try:
            answer = self._connections.request(
                method, address, body=msgspec.json.encode(body) if body else None, headers=headers, redirect=False
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as problem:
            raise Unreachable(f"The gateway cannot be reached: {problem}") from problem
        except urllib3.exceptions.HTTPError as problem:
            raise TimedOut(f"The gateway did not answer: {problem}") from problem
        if answer.status in NOT_TAKEN:
            raise Unreachable(f"The gateway takes no calls now: {answer.status}.")
        return answer.status, answer.data

    @cached_property
    def _connections(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(
            maxsize=settings.MESSAGING.outside_calls_at_once,
            retries=False,
            timeout=urllib3.Timeout(connect=2, read=settings.PAYMENTS.timeout_seconds),
        )


def _answer(called: tuple[int, bytes]) -> Answer:
    status, body = called
    if status == 404:
        return Answer(outcome=Outcome.ABSENT)
    if status not in {200, 202}:
        raise TimedOut(f"The gateway answered {status}, which says nothing of the money.")
    state = _read(body, _State)
    captured = Money(state.captured.amount, state.captured.currency) if state.captured else None
    return Answer(
        outcome=state.status, reference=state.reference, reason=state.reason, captured=captured, page=state.page
    )


def _read(body: bytes, kind: type[Read]) -> Read:
    """
    Read an answer; one that nobody can read is no better than none.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNREADABLE as problem:
        raise TimedOut(f"The gateway answered what cannot be read: {problem}") from problem


def _step(name: str) -> str:
    """
    Write a name as one step of an address, for a slash or two full stops would lead elsewhere.
    """
    return quote(name, safe="").replace(".", "%2E")


def _booking(movement: _Movement) -> StatementEntry:
    return StatementEntry(
        charge_key=movement.charge_key,
        order_id=movement.order_id,
        reference=movement.reference,
        captured=Money(movement.amount, movement.currency),
        captured_at=movement.captured_at,
        refunds={refund.key: refund.amount for refund in movement.refunds},
    )


def _verified_id(body: bytes, headers: Mapping[str, str], now: datetime) -> str:
    """
    Return the id of a webhook that one of our secrets has signed lately (Standard Webhooks 1.0).
    """
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (EVENT_ID.fullmatch(event_id) and TIMESTAMP.fullmatch(timestamp)):
        raise InvalidSignature("It names no id, or no time.")
    signed_at = datetime.fromtimestamp(int(timestamp), UTC)
    sent = headers.get("webhook-signature", "").encode("utf-8", "replace").split(b" ")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidSignature("It is not the text that was signed.") from None
    good = [Webhook(secret).sign(event_id, signed_at, text).encode() for secret in settings.PAYMENTS.webhook_secrets]
    if not any(hmac.compare_digest(one, other) for one in sent for other in good):
        raise InvalidSignature("None of our secrets has signed it.")
    if abs(now - signed_at) > TOLERANCE:
        raise TimestampOutOfTolerance("It was signed more than five minutes ago, or ahead.")
    return event_id
