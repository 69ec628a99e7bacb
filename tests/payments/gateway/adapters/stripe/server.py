"""
A stub of Stripe that speaks over HTTP as much of its API as the adapter uses, after "API Reference", "Idempotent
requests", "Error codes" and "Testing". Its objects have the shape that the reference documents: they were written by
hand after it (`hand_written/`), and none of them came from Stripe.
"""

import copy
import json
import socket
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

EXAMPLES = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "hand_written").glob("*.json")}
DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
}
STATUSES = {"pm_card_authenticationRequired": "requires_action", "pm_usBankAccount": "processing"}
CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")


def example_of(name: str) -> dict[str, Any]:
    return copy.deepcopy(EXAMPLES[name])


class Failed(Exception):
    def __init__(self, status: int, **error: Any) -> None:
        self.status, self.error = status, {"type": "invalid_request_error"} | error


@dataclass
class Fault:
    """
    What befalls the next request to a path: Stripe hangs up, or fails with the status, before it acts or after; or it
    holds the request until it is released, acts then, and is done.
    """

    path: str
    status: int = 0
    error: dict[str, Any] = field(default_factory=dict)
    after: bool = False
    hang: bool = False
    body: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class StripeServer:
    """
    Stripe with one account: what it holds is in plain dictionaries, for tests to look at and to change.
    """

    def __init__(self) -> None:
        self.intents: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, tuple[Any, int, Any]] = {}
        self.faults: deque[Fault] = deque()
        self.now = 1_700_000_000
        self.page_size = 100
        self.refund_status = "succeeded"
        self._ids = count(1)
        self._lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stripe": self}))
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def captured(self) -> int:
        return sum(charge["amount_captured"] for charge in self.charges.values())

    def forget_keys(self) -> None:
        self.keys.clear()

    def reply(self, method: str, path: str, params: dict[str, Any], key: str | None) -> tuple[int, Any, bool]:
        """
        Answer as an API v1 endpoint: what began to execute under a key is answered alike ever after, also if it failed.
        """
        with self._lock:
            saved = self.keys.get(key) if key else None
            if saved and saved[0] != [path, params]:
                return 400, {"error": {"type": "idempotency_error", "message": "Keys are for the same request."}}, False
            if saved:
                return saved[1], saved[2], True
            status, answer = self._execute(method, path, params)
            if key:
                self.keys[key] = ([path, params], status, copy.deepcopy(answer))
            return status, copy.deepcopy(answer), False

    def _execute(self, method: str, path: str, params: dict[str, Any]) -> tuple[int, Any]:
        try:
            return 200, self._route(method, path.removeprefix("/v1/").split("/"), params)
        except Failed as failure:
            return failure.status, {"error": failure.error}

    def _route(self, method: str, path: list[str], params: dict[str, Any]) -> Any:
        if path[0] == "payment_intents":
            return self._route_intent(method, path[1:], params)
        match method, *path:
            case "POST", "refunds":
                return self._refund(self._intent(params["payment_intent"]), int(params["amount"]), params)
            case "GET", "refunds":
                return self._list("/v1/refunds", self._expanded(self.refunds.values(), params), params)
            case "GET", "charges":
                return self._list("/v1/charges", self.charges.values(), params)
        raise Failed(404, message="Unrecognized request URL")

    def _route_intent(self, method: str, path: list[str], params: dict[str, Any]) -> Any:
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
        raise Failed(404, message="Unrecognized request URL")

    def _intent(self, intent_id: str) -> dict[str, Any]:
        if intent_id not in self.intents:
            raise Failed(404, code="resource_missing", message=f"No such payment_intent: '{intent_id}'")
        return self.intents[intent_id]

    def _create(self, params: dict[str, Any]) -> dict[str, Any]:
        amount = int(params["amount"])
        if amount < 50:
            raise Failed(400, code="amount_too_small", param="amount", message="Amount must be at least 50 cents")
        intent = example_of("payment_intent") | {
            "id": f"pi_{next(self._ids)}",
            "amount": amount,
            "currency": params["currency"],
            "metadata": _metadata(params),
            "created": self.now,
        }
        self.intents[intent["id"]] = intent
        return intent

    def _search(self, query: str) -> dict[str, Any]:
        wanted = query.removeprefix("metadata['payment']:'").removesuffix("'")
        found = [intent for intent in self.intents.values() if intent["metadata"].get("payment") == wanted]
        return {"object": "search_result", "url": "/v1/payment_intents/search", "has_more": False, "data": found}

    def _confirm(self, intent: dict[str, Any], method: str) -> dict[str, Any]:
        if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
            raise Failed(400, code="payment_intent_unexpected_state", payment_intent=intent, message="Unexpected state")
        if not method.startswith("pm_"):
            raise Failed(400, code="resource_missing", param="payment_method", message="No such PaymentMethod")
        if method in DECLINES:
            error = {"type": "card_error", "code": "card_declined", "decline_code": DECLINES[method]}
            intent.update(status="requires_payment_method", last_payment_error=error)
            raise Failed(402, **error, message="Your card was declined.", payment_intent=intent)
        intent["last_payment_error"] = None
        intent["status"] = STATUSES.get(method, "succeeded")
        if intent["status"] == "succeeded":
            self.capture(intent)
        elif intent["status"] == "requires_action":
            page = {"url": "https://hooks.stripe.com/3d_secure", "return_url": None}
            intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": page}
        return intent

    def capture(self, intent: dict[str, Any]) -> None:
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

    def _cancel(self, intent: dict[str, Any], reason: str) -> dict[str, Any]:
        if intent["status"] not in CANCELABLE:
            raise Failed(400, code="payment_intent_unexpected_state", message="You cannot cancel this PaymentIntent")
        intent.update(status="canceled", cancellation_reason=reason, canceled_at=self.now, last_payment_error=None)
        return intent

    def _refund(self, intent: dict[str, Any], amount: int, params: dict[str, Any]) -> dict[str, Any]:
        charge = self.charges[intent["latest_charge"]]
        if charge["amount_refunded"] == charge["amount"]:
            raise Failed(400, code="charge_already_refunded", message="Charge has already been refunded.")
        if charge["amount_refunded"] + amount > charge["amount"]:
            raise Failed(400, param="amount", message="Refund amount is greater than unrefunded amount on charge")
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

    def _expanded(self, refunds: Iterable[dict[str, Any]], params: dict[str, Any]) -> list[dict[str, Any]]:
        if params.get("expand[0]") != "data.charge":
            return list(refunds)
        return [refund | {"charge": self.charges[refund["charge"]]} for refund in refunds]

    def _list(self, url: str, things: Iterable[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
        since = int(params.get("created[gte]", 0))
        wanted = {name: params[name] for name in ("charge", "payment_intent") if name in params}
        found = [
            thing for thing in reversed(list(things)) if thing["created"] >= since and wanted.items() <= thing.items()
        ]
        if after := params.get("starting_after"):
            found = found[[thing["id"] for thing in found].index(after) + 1 :]
        page = found[: self.page_size]
        return {"object": "list", "url": url, "has_more": len(found) > len(page), "data": page}


def _metadata(params: dict[str, Any]) -> dict[str, str]:
    return {name[9:-1]: value for name, value in params.items() if name.startswith("metadata[")}


class _Handler(BaseHTTPRequestHandler):
    """
    The wire: who asks, what befalls the request, and the answer.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the head and the body of an answer in one piece
    stripe: StripeServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self._serve(url.path, dict(parse_qsl(url.query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        self._serve(self.path, dict(parse_qsl(body)))

    def _serve(self, path: str, params: dict[str, Any]) -> None:
        if self.headers["Authorization"] != "Bearer sk_test_shop":
            return self._send(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key"}})
        fault = self._fault(f"{self.command} {path}")
        if fault and fault.hang:
            fault.released.wait(5)
        elif fault and not fault.after:
            return self._fail(fault)
        reply = self.stripe.reply(self.command, path, params, self.headers["Idempotency-Key"])
        return self._fail(fault) if fault else self._send(*reply)

    def _fault(self, request: str) -> Fault | None:
        faults = self.stripe.faults
        return faults.popleft() if faults and faults[0].path in request else None

    def _fail(self, fault: Fault) -> None:
        fault.done.set()
        if fault.status:
            return self._send(fault.status, {"error": fault.error} if not fault.body else None, text=fault.body)
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        return None

    def _send(self, status: int, answer: Any, replayed: bool = False, text: str = "") -> None:  # noqa: FBT001, FBT002
        body = (text or json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Request-Id", "req_stub")
        if replayed:
            self.send_header("Idempotent-Replayed", "true")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
