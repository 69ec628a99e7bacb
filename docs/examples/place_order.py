"""
Place an order and follow it until it is final, with signed requests (HTTP Message Signatures, RFC 9421).

    pip install requests http-message-signatures
    export SHOP_URL=http://127.0.0.1:8000 SHOP_TOKEN=shop_… SHOP_KEY_ID=…
    export SHOP_SECRET=…                 # the secret of an hmac-sha256 key, in base64
    export SHOP_PRIVATE_KEY=key.pem      # or the private key of an ed25519 key
    python place_order.py RED-CHAIR=2 OAK-TABLE=1 --key my-order-17

After any failure, run it again with the same --key: it returns the same order and places no second one.
Exit status: 0 if the order is confirmed, 1 if not.
"""

import argparse
import base64
import os
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

PAUSES = (0.2, 0.5, 1, 2, 5)
RETRYABLE = {429, 500, 502, 503, 504}


class Signature(requests.auth.AuthBase):
    """
    Sends the token and signs the request. Each request has a new nonce, repeated ones too.
    """

    def __init__(self, *, token: str, key_id: str, algorithm: type, key: bytes) -> None:
        self.token, self.key_id = token, key_id
        keys = MappingKeyResolver(private_keys={key_id: key}, public_keys={})
        self.signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=keys)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Token {self.token}"
        covered = ["@method", "@authority", "@path", "@query"]
        covered += [name for name in ("content-type", "idempotency-key") if name in request.headers]
        self.signer.sign(
            request,
            key_id=self.key_id,
            nonce=uuid.uuid4().hex,
            tag="shop-api",
            covered_component_ids=covered,
            body=request.body or None,
        )
        return request


class Shop:
    def __init__(self, address: str, signature: Signature) -> None:
        self.api = f"{address}/api/v1"
        self.session = requests.Session()
        self.session.auth = signature

    def price_of(self, sku: str) -> int:
        return self._send("GET", f"{self.api}/products/{sku}/").json()["price"]

    def place(self, quantities: Mapping[str, int], *, payment_method: str, key: str) -> dict[str, Any]:
        order = {
            "lines": [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()],
            "payment_method": payment_method,
            "expected_total": sum(quantity * self.price_of(sku) for sku, quantity in quantities.items()),
        }
        return self._send("POST", f"{self.api}/orders/", json=order, headers={"Idempotency-Key": key}).json()

    def follow(self, order: dict[str, Any]) -> dict[str, Any]:
        """
        Wait until the order is final, by long polling: the response comes with the next change, or is a 304 after 20 s.
        """
        etag = ""
        while order["is_open"]:
            response = self._send("GET", order["url"], headers={"If-None-Match": etag, "Prefer": "wait=20"})
            if response.status_code == 200:
                order, etag = response.json(), response.headers["ETag"]
                print(order["status"], flush=True)
            elif "Preference-Applied" not in response.headers:
                # The shop has too many waiting requests.
                time.sleep(1)
        return order

    def _send(self, method: str, address: str, **options: Any) -> requests.Response:
        """
        Send a request, and repeat it while the failure is temporary. Each attempt is signed anew.
        """
        for pause in PAUSES:
            try:
                response = self.session.request(method, address, timeout=30, **options)
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(pause)
                continue
            if not _is_retryable(response):
                return _checked(response)
            time.sleep(float(response.headers.get("Retry-After", pause)))
        return _checked(self.session.request(method, address, timeout=30, **options))


def _checked(response: requests.Response) -> requests.Response:
    if not response.ok:
        sys.exit(f"{response.status_code}: {response.text}")
    return response


def _is_retryable(response: requests.Response) -> bool:
    in_progress = response.status_code == 409 and response.json()["code"] == "request_in_progress"
    return in_progress or response.status_code in RETRYABLE


def signature_of(settings: Mapping[str, str]) -> Signature:
    credentials = {"token": settings["SHOP_TOKEN"], "key_id": settings["SHOP_KEY_ID"]}
    if "SHOP_PRIVATE_KEY" in settings:
        key = Path(settings["SHOP_PRIVATE_KEY"]).read_bytes()
        return Signature(**credentials, algorithm=algorithms.ED25519, key=key)
    return Signature(**credentials, algorithm=algorithms.HMAC_SHA256, key=base64.b64decode(settings["SHOP_SECRET"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", nargs="+", metavar="SKU=QUANTITY")
    parser.add_argument("--payment-method", default="tok_visa", help="a token of the payment gateway")
    parser.add_argument("--key", default=str(uuid.uuid4()), help="your name for this order; use it for no other")
    arguments = parser.parse_args()
    quantities = {sku: int(quantity) for sku, quantity in (line.split("=") for line in arguments.lines)}

    shop = Shop(os.environ["SHOP_URL"], signature_of(os.environ))
    order = shop.place(quantities, payment_method=arguments.payment_method, key=arguments.key)
    print("placed", order["url"], flush=True)
    return 0 if shop.follow(order)["status"] == "confirmed" else 1


if __name__ == "__main__":
    sys.exit(main())
