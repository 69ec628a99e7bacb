"""
The payment simulator in threads of a test, and its API as a shop uses it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

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
