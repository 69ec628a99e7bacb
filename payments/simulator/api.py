"""
The JSON API of the provider: each request is one call to a processor.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from babel.numbers import list_currencies
from werkzeug.routing import Rule
from werkzeug.wrappers import Request, Response

from . import refunds
from .behaviours import ResponseMode
from .charges import ChargeCommand, ChargeRecord, Json, RefundCommand, refund_as_json, statement
from .http import ApiError, RequestCounts, json_body, json_response
from .ledger import EntryKind
from .processor import Processor
from .webhooks import BEFORE_RESPONSE_SECONDS, WebhookSender

# A key is a segment of a URL's path, so it has no slash.
NAME = re.compile(r"[!-.0-~]{1,200}")
KEY_HEADER = "Idempotency-Key"
MAX_AMOUNT = 10**12
CURRENCIES = frozenset(list_currencies())


@dataclass(frozen=True, kw_only=True)
class Api:
    processor: Processor
    sender: WebhookSender
    address: str
    """The base URL of the pages."""
    wait_slowly: Callable[[], object]
    counts: RequestCounts = field(default_factory=RequestCounts)

    def rules(self) -> list[Rule]:
        return [
            Rule("/v1/charges", methods=["POST"], endpoint=self.charge),
            Rule("/v1/charges/<key>", methods=["GET"], endpoint=self.look_up),
            Rule("/v1/charges/<key>/cancel", methods=["POST"], endpoint=self.cancel),
            Rule("/v1/charges/<key>/refunds", methods=["POST"], endpoint=self.refund),
            Rule("/v1/charges/<key>/refunds/<refund_key>", methods=["GET"], endpoint=self.look_up_refund),
            Rule("/v1/statement", methods=["GET"], endpoint=self.statement),
            Rule("/v1/faults", methods=["GET"], endpoint=self.faults),
            Rule("/v1/requests", methods=["GET"], endpoint=self.requests),
        ]

    def charge(self, request: Request) -> Response:
        key, body = _name(request.headers.get(KEY_HEADER), KEY_HEADER), json_body(request)
        order_id, payment_method = (_name(body.get(name), name) for name in ("order_id", "payment_method"))
        command = ChargeCommand(key=key, order_id=order_id, payment_method=payment_method, **_money(body))
        response = self.processor.charge(command)
        raise_fault(response.mode)
        if response.mode is ResponseMode.SLOW:
            self.wait_slowly()
        if response.mode is ResponseMode.AFTER_WEBHOOK:
            for webhook in response.charge.of_kind(EntryKind.WEBHOOK):
                self.sender.send(webhook, timeout=BEFORE_RESPONSE_SECONDS)
        is_current = response.mode is ResponseMode.NORMAL
        charge = response.charge if is_current else self.processor.find(key)
        return self._state(charge, status=202 if charge.status == "processing" else 200)

    def look_up(self, request: Request, key: str) -> Response:
        response = self.processor.look_up(key)
        raise_fault(response.mode)
        return self._state(response.charge)

    def cancel(self, request: Request, key: str) -> Response:
        return self._state(self.processor.cancel(_name(key, "The key")))

    def refund(self, request: Request, key: str) -> Response:
        refund_key = _name(request.headers.get(KEY_HEADER), KEY_HEADER)
        command = RefundCommand(key=refund_key, **_money(json_body(request)))
        response = refunds.refund(self.processor, key, command)
        raise_fault(response.mode)
        return json_response(refund_as_json(response.refund) if response.refund else {})

    def look_up_refund(self, request: Request, key: str, refund_key: str) -> Response:
        return json_response(refund_as_json(refunds.look_up(self.processor, key, refund_key)))

    def statement(self, request: Request) -> Response:
        since, now = request.args.get("since", ""), self.processor.ledger.clock()
        captures = statement(self.processor.ledger, _moment(since) if since else None)
        return json_response({"captures": captures, "now": now.isoformat(timespec="microseconds")})

    def faults(self, request: Request) -> Response:
        return json_response({"counts": self.processor.ledger.faults()})

    def requests(self, request: Request) -> Response:
        """
        Report the requests since the start, by the name of their operation, such as "look_up".
        """
        return json_response({"counts": self.counts.numbers})

    def _state(self, charge: ChargeRecord, *, status: int = 200) -> Response:
        return json_response(charge.as_json(self.address), status=status)


def raise_fault(mode: ResponseMode) -> None:
    """
    Interrupt the request, unless its response is a normal one.

    :raises ConnectionAbortedError: if the connection is to be closed.
    :raises ApiError: if the response is an error.
    """
    if mode is ResponseMode.CLOSED:
        raise ConnectionAbortedError
    if mode is ResponseMode.SERVER_ERROR:
        raise ApiError(500, "internal_error")
    if mode is ResponseMode.RATE_LIMITED:
        raise ApiError(429, "rate_limited", retry_after=1)


def _name(value: Any, field: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ApiError(400, "invalid_request", f"{field} must be 1 to 200 visible ASCII characters without a slash.")
    return value


def _money(body: Json) -> dict[str, Any]:
    amount, currency = body.get("amount"), body.get("currency")
    if type(amount) is not int or not 0 < amount <= MAX_AMOUNT:
        raise ApiError(400, "invalid_request", f"amount must be an integer from 1 to {MAX_AMOUNT}, in minor units.")
    if not isinstance(currency, str) or currency not in CURRENCIES:
        raise ApiError(400, "invalid_request", "currency must be an ISO 4217 code, such as GBP.")
    return {"amount": amount, "currency": currency}


def _moment(text: str) -> datetime:
    """
    Parse an ISO 8601 time, in UTC by default. An unescaped plus sign arrives as a space.
    """
    try:
        moment = datetime.fromisoformat(re.sub(r" (?=\d\d:?\d\d$)", "+", text) if "T" in text else text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ApiError(400, "invalid_request", "since must be an ISO 8601 time.") from None
