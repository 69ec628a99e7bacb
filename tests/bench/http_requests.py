"""HTTP requests that place orders, as bytes: with a token, or signed as docs/examples shows."""

import json
import random
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import HMAC_SHA256

HOST, PATH = "shop.example", "/api/v1/orders/"
COVERED = ("@method", "@authority", "@path", "@query", "content-type", "idempotency-key")


class Caller(NamedTuple):
    """A customer's program: its token, and the key that signs its requests, if any."""

    token: str
    key_id: str = ""
    secret: str = ""
    """In base64."""


@dataclass
class SignedMessage:
    """What the signer reads of a request."""

    method: str
    url: str
    headers: dict[str, str]


def orders(
    number: int, callers: Sequence[Caller], skus: Sequence[str], price: int, payment_method: str
) -> Iterator[bytes]:
    """Return requests for so many orders of one to three lines, by each caller in turn, each with a key of its own."""
    rng = random.Random(number)
    for at in range(number):
        chosen = rng.sample(skus, rng.randint(1, 3))
        yield _request(callers[at % len(callers)], chosen, price, payment_method)


def _request(caller: Caller, skus: Sequence[str], price: int, payment_method: str) -> bytes:
    order = {
        "lines": [{"sku": sku, "quantity": 1} for sku in skus],
        "payment_method": payment_method,
        "expected_total": price * len(skus),
    }
    body = json.dumps(order).encode()
    headers = {
        "Host": HOST,
        "X-Forwarded-Proto": "https",  # as the proxy of a production shop sets it
        "Authorization": f"Token {caller.token}",
        "Idempotency-Key": str(uuid4()),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    if caller.key_id:
        _sign(headers, body, caller)
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _sign(headers: dict[str, str], body: bytes, caller: Caller) -> None:
    secrets: Any = {caller.key_id: b64decode(caller.secret)}
    signer = HTTPMessageSigner(
        signature_algorithm=HMAC_SHA256, key_resolver=MappingKeyResolver(public_keys={}, private_keys=secrets)
    )
    signer.sign(
        SignedMessage("POST", f"https://{HOST}{PATH}", headers),
        key_id=caller.key_id,
        nonce=uuid4().hex,
        label="sig1",
        tag="shop-api",
        covered_component_ids=COVERED,
        body=body,
    )
