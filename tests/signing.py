"""
Clients that sign their requests with a library, as their authors would.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils import timezone
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms
from rest_framework.test import APIClient

from orders.models import Order
from shop.accounts import services

ORDERS = "/api/v1/orders/"
ORDER_BODY = json.dumps(
    {"lines": [{"sku": "RED-CHAIR", "quantity": 1}], "payment_method": "tok_visa", "expected_total": 4_500}
).encode()
SENT = {"Content-Type": "application/json", "Idempotency-Key": "basket-1"}
COVERED_BY_DEFAULT = ("@method", "@authority", "@path", "@query")


@dataclass
class Outgoing:
    """
    A request in the form that the library signs.
    """

    method: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Signer:
    """
    Signs requests by one key.
    """

    key_id: str
    private: Any
    algorithm: type[algorithms.HTTPSignatureAlgorithm]
    library: type[HTTPMessageSigner] = HTTPMessageSigner
    tag: str | None = "shop-api"
    headers: Mapping[str, str] = field(default_factory=dict)

    def sign(
        self,
        method: str,
        address: str,
        body: bytes = b"",
        *,
        covered: Sequence[str] | None = None,
        nonce: str | None = "",
        now: datetime | None = None,
        expires: datetime | None = None,
        label: str = "sig1",
    ) -> dict[str, str]:
        """
        Return the headers of a signed request: the signer's own, a digest of the body, and the signature.
        """
        outgoing = Outgoing(method, f"http://testserver{address}", dict(self.headers))
        self.library(
            signature_algorithm=self.algorithm,
            key_resolver=MappingKeyResolver(private_keys={self.key_id: self.private}, public_keys={}),
        ).sign(
            outgoing,
            key_id=self.key_id,
            created=now or timezone.now(),
            expires=expires,
            nonce=uuid4().hex if nonce == "" else nonce,
            label=label,
            tag=self.tag,
            covered_component_ids=(*COVERED_BY_DEFAULT, *map(str.lower, self.headers)) if covered is None else covered,
            body=body or None,
        )
        return outgoing.headers


def signer_of(owner: AbstractBaseUser, algorithm: str = "hmac-sha256", **options: Any) -> Signer:
    """
    Create a signing key of this customer, and return a signer that uses it.
    """
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw() if algorithm == "ed25519" else b""
    key, secret = services.create_key(
        owner=owner, name=algorithm, algorithm=algorithm, public_key=b64encode(public).decode(), now=timezone.now()
    )
    if algorithm == "ed25519":
        return Signer(key_id=str(key.pk), private=private, algorithm=algorithms.ED25519, **options)
    return Signer(key_id=str(key.pk), private=b64decode(secret), algorithm=algorithms.HMAC_SHA256, **options)


def send(api: APIClient, headers: dict[str, str], *, method="POST", address=ORDERS, body=ORDER_BODY):
    """
    Send a request with exactly these headers.
    """
    content_type = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
    return api.generic(method, address, body, content_type=content_type, headers=headers)


def code(answer) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def is_rejected(answer) -> bool:
    """
    Return whether this is the response to any invalid signature, and no order was placed.
    """
    problem = {name: value for name, value in answer.json().items() if name != "request_id"}
    return not Order.objects.exists() and (answer.status_code, answer.headers["WWW-Authenticate"], problem) == (
        401,
        "Token",
        {
            "type": "/problems/#invalid_signature",
            "title": "Invalid signature",
            "status": 401,
            "detail": "The signature does not match this request.",
            "code": "invalid_signature",
        },
    )
