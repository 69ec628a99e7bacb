"""
What the tests of the simulator stand on: a bank whose clock they set, and a shop that keeps what it is told.
"""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import requests
from standardwebhooks import Webhook

from payments.simulator.bank import Bank
from payments.simulator.behaviours import Dice
from payments.simulator.charges import Charge
from payments.simulator.dealings import Reply, Wish
from payments.simulator.entries import Entry, Kind
from payments.simulator.ledger import Ledger
from payments.simulator.refunds import Refunds, RefundWish
from payments.simulator.timetable import Timetable

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = "whsec_bmV4dCBzZWNyZXQgb2YgdGhlIHNob3A="
NOBODY = "http://127.0.0.1:1/"
PATIENCE_SECONDS = 10
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Bench:
    """
    A bank without a server: time moves when the test says so, and callbacks are kept instead of sent.
    """

    def __init__(self, path: Path | str, *, dice: Dice | None = None) -> None:
        self.now = NOON
        self.ledger = Ledger(path, clock=lambda: self.now)
        self.bank = Bank(ledger=self.ledger, dice=dice or Dice(), delay=0.5, late_seconds=1200)
        self.refunds = Refunds(self.bank)
        self.sent: list[Entry] = []
        settle = {Kind.CHARGED: self.bank.settle, Kind.REFUND_OPENED: self.refunds.settle}
        self.timetable = Timetable(self.ledger, settle | {Kind.CALLBACK: self.sent.append})
        self.timetable.resume()

    def charge(self, token: str = "tok_visa", **wished: Any) -> Reply:
        return self.bank.charge(wish(token, **wished))

    def refund(self, key: str = "refund-1", amount: int = 4_500, currency: str = "GBP", of: str = "charge-1"):
        return self.refunds.refund(of, RefundWish(key=key, amount=amount, currency=currency))

    def paid(self, token: str = "tok_visa", **wished: Any) -> Charge:
        """
        Charge, and let two minutes pass.
        """
        self.charge(token, **wished)
        self.wait(60)
        self.wait(60)
        return self.bank.find(wished.get("key", "charge-1"))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.timetable.run_due()

    def told(self) -> list[dict[str, Any]]:
        """
        List the bodies of all callbacks that were sent.
        """
        return [json.loads(callback.detail["body"]) for callback in self.sent]


def wish(token: str = "tok_visa", **wished: Any) -> Wish:
    chosen = {"key": "charge-1", "order_id": "order-1", "amount": 4_500, "currency": "GBP"} | wished
    return Wish(payment_method=token, **chosen)


class Told:
    """
    A callback that arrived at the shop.
    """

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers, self.body = headers, body
        self.id, self.at = headers["webhook-id"], time.monotonic()

    def verified(self, secret: str = SECRET) -> Any:
        return Webhook(secret).verify(self.body, self.headers)

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.body)["data"]


class Shop:
    """
    A shop that keeps the callbacks it gets, and answers them with these statuses, the last one for ever.
    """

    def __init__(self, *statuses: int) -> None:
        self.told: list[Told] = []
        self._statuses = list(statuses or [204])
        self._lock = threading.Lock()
        self._server = _Receiver(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, told: Told) -> int:
        with self._lock:
            self.told.append(told)
            return self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]

    def statuses_told(self) -> list[str]:
        return [told.data["status"] for told in self.told]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(shop.take(Told(dict(self.headers), body)))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class _Receiver(ThreadingHTTPServer):
    request_queue_size = 128


class Client:
    """
    A shop's side of the API.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def charge(self, key: str = "charge-1", token: str = "tok_visa", **body: Any) -> requests.Response:
        sent = {"amount": 4_500, "currency": "GBP", "payment_method": token, "order_id": "order-1"} | body
        return self.post("/v1/charges", json=sent, headers={"Idempotency-Key": key})

    def refund(self, key: str = "refund-1", of: str = "charge-1", **body: Any) -> requests.Response:
        sent = {"amount": 4_500, "currency": "GBP"} | body
        return self.post(f"/v1/charges/{of}/refunds", json=sent, headers={"Idempotency-Key": key})

    def post(self, path: str, **told: Any) -> requests.Response:
        return requests.post(f"{self.address}{path}", timeout=PATIENCE_SECONDS, allow_redirects=False, **told)

    def get(self, path: str, **told: Any) -> requests.Response:
        return requests.get(f"{self.address}{path}", timeout=PATIENCE_SECONDS, **told)

    def status(self, key: str = "charge-1") -> str:
        return self.get(f"/v1/charges/{key}").json().get("status", "unknown")
