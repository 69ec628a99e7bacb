"""
A stub of Stripe over HTTP: as much of its API as the adapter uses, after "API Reference", "Idempotent requests",
"Error codes" and "Testing". Its objects were written by hand after that reference (`hand_written/`); none is Stripe's.
"""

import copy
import json
import socket
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

EXAMPLES = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "hand_written").glob("*.json")}
DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
}
STATUSES = {"pm_card_authenticationRequired": "requires_action", "pm_usBankAccount": "processing"}
CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")

Fields = dict[str, Any]


def example_of(name: str) -> Fields:
    return copy.deepcopy(EXAMPLES[name])


class QuietHandler(WSGIRequestHandler):
    def log(self, *_: object) -> None: ...


class Rejected(Exception):
    def __init__(self, status: int, **error: Any) -> None:
        self.status, self.error = status, {"type": "invalid_request_error"} | error


@dataclass
class Fault:
    """
    A fault of the next request to a path. Stripe closes the connection, or responds with the status, before the request
    is executed or after; or it holds the request until it is released, and executes it then.
    """

    path: str
    status: int = 0
    error: Fields = field(default_factory=dict)
    after: bool = False
    hang: bool = False
    body: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class StripeServer:
    """
    Stripe with one account, whose objects tests may read and change.
    """

    def __init__(self) -> None:
        self.intents: dict[str, Fields] = {}
        self.charges: dict[str, Fields] = {}
        self.refunds: dict[str, Fields] = {}
        self.keys: dict[str, tuple[Any, int, Any]] = {}
        self.faults: deque[Fault] = deque()
        self.now = 1_700_000_000
        self.page_size = 100
        self.refund_status = "succeeded"
        self._ids = count(1)
        self._lock = threading.RLock()
        self._http = make_server("127.0.0.1", 0, self._respond, threaded=True, request_handler=QuietHandler)
        self.address = f"http://127.0.0.1:{self._http.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def captured(self) -> int:
        return sum(charge["amount_captured"] for charge in self.charges.values())

    def capture(self, intent: Fields) -> None:
        charge = example_of("charge") | {
            "id": f"ch_{next(self._ids)}",
            "amount": intent["amount"],
            "amount_captured": intent["amount"],
            "currency": intent["currency"],
            "metadata": dict(intent["metadata"]),
            "payment_intent": intent["id"],
            "created": self.now,
        }
        self.charges[charge["id"]] = charge
        intent.update(status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"])

    @Request.application
    def _respond(self, request: Request) -> Response:
        if request.headers["Authorization"] != "Bearer sk_test_shop":
            return _response(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}})
        fault = None
        if self.faults and self.faults[0].path in f"{request.method} {request.path}":
            fault = self.faults.popleft()
            if fault.hang:
                fault.released.wait(5)
            elif not fault.after:
                return _fail(request, fault)
        status, body, replayed = self._reply(request)
        return _fail(request, fault) if fault else _response(status, body, replayed=replayed)

    def _reply(self, request: Request) -> tuple[int, Any, bool]:
        """
        Execute a request, unless one with its key was: then repeat the response, also if that failed.
        """
        path, params, key = request.path, request.values.to_dict(), request.headers.get("Idempotency-Key")
        with self._lock:
            saved = self.keys.get(key) if key else None
            if saved and saved[0] != [path, params]:
                return 400, {"error": {"type": "idempotency_error", "message": "Keys are for the same request."}}, False
            if saved:
                return saved[1], saved[2], True
            try:
                status, body = 200, self._route(request.method, path.removeprefix("/v1/").split("/"), params)
            except Rejected as rejected:
                status, body = rejected.status, {"error": rejected.error}
            if key:
                self.keys[key] = ([path, params], status, copy.deepcopy(body))
            return status, copy.deepcopy(body), False

    def _route(self, method: str, path: list[str], params: Fields) -> Any:
        if path[0] == "payment_intents":
            return self._route_intent(method, path[1:], params)
        match method, *path:
            case "POST", "refunds":
                return self._refund(self._intent(params["payment_intent"]), int(params["amount"]), params)
            case "GET", "refunds":
                return self._list("/v1/refunds", self._expanded(self.refunds.values(), params), params)
            case "GET", "charges":
                return self._list("/v1/charges", self.charges.values(), params)
        raise Rejected(404, message="Unrecognized request URL")

    def _route_intent(self, method: str, path: list[str], params: Fields) -> Any:
        match method, *path:
            case ("POST",):
                return self._create(params)
            case "GET", "search":
                return self._search(params["query"])
            case "GET", intent_id:
                return self._intent(intent_id)
            case "POST", intent_id, "confirm":
                return self._confirm(self._intent(intent_id), params["payment_method"])
            case "POST", intent_id, "cancel":
                return self._cancel(self._intent(intent_id), params["cancellation_reason"])
        raise Rejected(404, message="Unrecognized request URL")

    def _intent(self, intent_id: str) -> Fields:
        if intent_id not in self.intents:
            raise Rejected(404, code="resource_missing", message=f"No such payment_intent: '{intent_id}'")
        return self.intents[intent_id]

    def _create(self, params: Fields) -> Fields:
        amount = int(params["amount"])
        if amount < 50:
            raise Rejected(400, code="amount_too_small", param="amount", message="Amount must be at least 50 cents")
        intent = example_of("payment_intent") | {
            "id": f"pi_{next(self._ids)}",
            "amount": amount,
            "currency": params["currency"],
            "metadata": _metadata(params),
            "created": self.now,
        }
        self.intents[intent["id"]] = intent
        return intent

    def _search(self, query: str) -> Fields:
        key = query.removeprefix("metadata['payment']:'").removesuffix("'")
        intents = [intent for intent in self.intents.values() if intent["metadata"].get("payment") == key]
        return {"object": "search_result", "url": "/v1/payment_intents/search", "has_more": False, "data": intents}

    def _confirm(self, intent: Fields, method: str) -> Fields:
        if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
            raise Rejected(400, code="payment_intent_unexpected_state", payment_intent=intent, message="Wrong state")
        if not method.startswith("pm_"):
            raise Rejected(400, code="resource_missing", param="payment_method", message="No such PaymentMethod")
        if method in DECLINES:
            error = {"type": "card_error", "code": "card_declined", "decline_code": DECLINES[method]}
            intent.update(status="requires_payment_method", last_payment_error=error)
            raise Rejected(402, **error, message="Your card was declined.", payment_intent=intent)
        intent["last_payment_error"] = None
        intent["status"] = STATUSES.get(method, "succeeded")
        if intent["status"] == "succeeded":
            self.capture(intent)
        elif intent["status"] == "requires_action":
            page = {"url": "https://hooks.stripe.com/3d_secure", "return_url": None}
            intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": page}
        return intent

    def _cancel(self, intent: Fields, reason: str) -> Fields:
        if intent["status"] not in CANCELABLE:
            raise Rejected(400, code="payment_intent_unexpected_state", message="Not cancelable")
        intent.update(status="canceled", cancellation_reason=reason, canceled_at=self.now, last_payment_error=None)
        return intent

    def _refund(self, intent: Fields, amount: int, params: Fields) -> Fields:
        charge = self.charges[intent["latest_charge"]]
        if charge["amount_refunded"] == charge["amount"]:
            raise Rejected(400, code="charge_already_refunded", message="Charge has already been refunded.")
        if charge["amount_refunded"] + amount > charge["amount"]:
            raise Rejected(400, param="amount", message="Refund amount is greater than unrefunded amount on charge")
        charge["amount_refunded"] += amount
        refund = example_of("refund") | {
            "id": f"re_{next(self._ids)}",
            "amount": amount,
            "currency": charge["currency"],
            "charge": charge["id"],
            "payment_intent": intent["id"],
            "metadata": _metadata(params),
            "created": self.now,
            "status": self.refund_status,
        }
        if self.refund_status == "failed":
            refund["failure_reason"] = "lost_or_stolen_card"
        self.refunds[refund["id"]] = refund
        return refund

    def _expanded(self, refunds: Iterable[Fields], params: Fields) -> list[Fields]:
        if params.get("expand[0]") != "data.charge":
            return list(refunds)
        return [refund | {"charge": self.charges[refund["charge"]]} for refund in refunds]

    def _list(self, url: str, objects: Iterable[Fields], params: Fields) -> Fields:
        since = int(params.get("created[gte]", 0))
        filters = {name: params[name] for name in ("charge", "payment_intent") if name in params}
        newest_first = reversed(list(objects))
        matches = [each for each in newest_first if each["created"] >= since and filters.items() <= each.items()]
        if after := params.get("starting_after"):
            matches = matches[[match["id"] for match in matches].index(after) + 1 :]
        page = matches[: self.page_size]
        return {"object": "list", "url": url, "has_more": len(matches) > len(page), "data": page}


def _metadata(params: Fields) -> dict[str, str]:
    return {name[9:-1]: value for name, value in params.items() if name.startswith("metadata[")}


def _fail(request: Request, fault: Fault) -> Response:
    fault.done.set()
    if fault.status:
        return Response(fault.body or json.dumps({"error": fault.error}), fault.status)
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response()


def _response(status: int, body: Any, *, replayed: bool = False) -> Response:
    headers = {"Request-Id": "req_stub"} | ({"Idempotent-Replayed": "true"} if replayed else {})
    return Response(json.dumps(body), status, headers)
