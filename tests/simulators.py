"""
The payment simulator in threads of a test, its API as a shop uses it, and a shop's endpoint that receives its webhooks.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import requests
from standardwebhooks import Webhook
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from payments.simulator.server import Simulator, SimulatorConfig, listen

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CLOSED_PORT = "http://127.0.0.1:1/"
NEXT_SECRET = "whsec_bmV4dCBzZWNyZXQgb2YgdGhlIHNob3A="
TIMEOUT_SECONDS = 10


@contextmanager
def running(*, ledger: Path | str = ":memory:", address: str = "127.0.0.1", **config: Any) -> Iterator[Simulator]:
    """
    Run a simulator in threads for the length of the block.
    """
    defaults = {"callback_url": CLOSED_PORT, "secrets": [SECRET]}
    simulator = Simulator(listen(address, 0), ledger, SimulatorConfig(**defaults | config))
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()


class ApiClient:
    def __init__(self, address: str) -> None:
        self.address = address

    def charge(self, key: str = "charge-1", token: str = "tok_visa", **body: Any) -> requests.Response:
        sent = {"amount": 4_500, "currency": "GBP", "payment_method": token, "order_id": "order-1"} | body
        return self.post("/v1/charges", json=sent, headers={"Idempotency-Key": key})

    def refund(self, key: str = "refund-1", of: str = "charge-1", **body: Any) -> requests.Response:
        sent = {"amount": 4_500, "currency": "GBP"} | body
        return self.post(f"/v1/charges/{of}/refunds", json=sent, headers={"Idempotency-Key": key})

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(f"{self.address}{path}", timeout=TIMEOUT_SECONDS, allow_redirects=False, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(f"{self.address}{path}", timeout=TIMEOUT_SECONDS, **options)

    def status(self, key: str = "charge-1") -> str:
        return self.get(f"/v1/charges/{key}").json().get("status", "unknown")


class ReceivedWebhook:
    def __init__(self, request: Request) -> None:
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.body = request.get_data()
        self.id, self.at = self.headers["webhook-id"], time.monotonic()

    def verified(self, secret: str = SECRET) -> Any:
        return Webhook(secret).verify(self.body, self.headers)

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.body)["data"]


class WebhookReceiver:
    """
    Receive webhooks, and respond with the next of `statuses`; the last one is repeated.
    """

    def __init__(self) -> None:
        self.received: list[ReceivedWebhook] = []
        self.statuses = deque([204])
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._respond, threaded=True, request_handler=QuietHandler)
        self.url = f"http://127.0.0.1:{self._server.port}/webhooks/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def receive(self, webhook: ReceivedWebhook) -> int:
        with self._lock:
            self.received.append(webhook)
            return self.statuses.popleft() if len(self.statuses) > 1 else self.statuses[0]

    def received_statuses(self) -> list[str]:
        return [webhook.data["status"] for webhook in self.received]

    @Request.application
    def _respond(self, request: Request) -> Response:
        return Response(status=self.receive(ReceivedWebhook(request)))


class QuietHandler(WSGIRequestHandler):
    def log(self, *_: object) -> None: ...
