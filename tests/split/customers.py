"""Customers who order over HTTP, and repeat each request until it is answered."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from uuid import uuid4

import urllib3

from tests.concurrency.customers import Basket, Customer
from tests.split import shops
from tests.split.services import PRICE

PAUSE_SECONDS = 0.2
PATIENCE_SECONDS = 180
REPEATED_SHARE = 0.05
"""Of orders that are sent again although the response has arrived."""

REPEATABLE = {409, 429, 500, 502, 503, 504}


class Customers(Customer):
    """
    Two customers of a running shop.

    :param address: of the reverse proxy.
    :param api_tokens: those of the customers.
    """

    def __init__(
        self, address: str, api_tokens: Sequence[str], rng: random.Random, tokens: Sequence[str], *, cancel_share: float
    ) -> None:
        super().__init__(rng, tokens, cancel_share=cancel_share)
        self._accounts = [shops.Customer(address, token) for token in api_tokens]
        self._owners: dict[str, shops.Customer] = {}
        self.repeated: Counter[str] = Counter()
        """How many requests were sent again, by the status or the error of the response before."""
        self.answered_differently = 0
        """How many orders got another id when they were sent again."""

    def place(self, baskets: Sequence[Basket]) -> list[str]:
        again = [self.rng.random() < REPEATED_SHARE for _ in baskets]
        with ThreadPoolExecutor(shops.AT_ONCE) as pool:
            return list(pool.map(self._place, cycle(self._accounts), baskets, again))

    def cancel(self, order_id: str) -> bool:
        response = self._send(self._owners[order_id], "POST", f"{_url(order_id)}cancel/", expected={200, 409})
        return response.status == 200

    def is_served(self, order_ids: Sequence[str]) -> bool:
        orders = (self._send(self._owners[each], "GET", _url(each), expected={200}).json() for each in order_ids)
        return any(order["status"] == "confirmed" or order["cancel_reason"] == "payment_failed" for order in orders)

    def _place(self, account: shops.Customer, basket: Basket, again: bool) -> str:  # noqa: FBT001
        body = {
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in basket.quantities.items()],
            "payment_method": basket.token,
            "expected_total": PRICE * sum(basket.quantities.values()),
        }
        key = uuid4().hex
        ids = [
            self._send(account, "POST", "/api/v1/orders/", body, expected={201}, key=key).json()["id"]
            for _ in range(1 + again)
        ]
        self.answered_differently += len(set(ids)) - 1
        self._owners[ids[0]] = account
        return ids[0]

    def _send(
        self,
        account: shops.Customer,
        method: str,
        path: str,
        body: object = None,
        *,
        expected: set[int],
        key: str = "",
    ) -> urllib3.BaseHTTPResponse:
        """Send a request until its response has one of the expected statuses, and return that."""
        headers = {"Idempotency-Key": key} if key else {}
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            try:
                response = account.request(method, path, body, **headers)
            except urllib3.exceptions.HTTPError as error:
                self.repeated[type(error).__name__] += 1
            else:
                if response.status in expected:
                    return response
                assert response.status in REPEATABLE, f"{response.status}: {response.data!r}"
                self.repeated[str(response.status)] += 1
            time.sleep(PAUSE_SECONDS)
        raise AssertionError(f"{method} {path} was not answered within {PATIENCE_SECONDS} s: {self.repeated}")


def _url(order_id: str) -> str:
    return f"/api/v1/orders/{order_id}/"
