"""
Verification of signed requests: HTTP Message Signatures (RFC 9421). `shop.http.signatures` reads them.

A signature is made in addition to a token, by a signing key of the same user. It covers every part of the request that
the shop acts on, so it is valid for no other request; its time is recent and its nonce new, so it is valid once.
"""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from secrets import token_bytes
from typing import Any, cast

from shop.accounts.models import Nonce, SigningKey, Token
from shop.accounts.sealing import LostSecret, seal
from shop.http.signatures import (
    InvalidRequestSignature,
    ReplayedRequest,
    SignatureRequired,
    SignedMessage,
    StaleSignature,
    key_id,
    read_parameters,
)

TAG = "shop-api"
TOLERANCE = timedelta(minutes=5)
NONCE_RETENTION = 2 * TOLERANCE + timedelta(minutes=1)

COVERED = ("@method", "@authority", "@path", "@query")
COVERED_OF_BODY = ("content-type", "content-digest")
COVERED_IF_SENT = ("content-digest", "idempotency-key")

NONCE = re.compile(r"[!-~]{1,128}", re.ASCII)


def find_token(digest: str, message: SignedMessage | None, *, now: datetime) -> Token:
    """
    Return the token with this digest, after verifying the signature of its request and consuming the nonce.

    :param message: the request; none if it is unsigned.
    :raises Token.DoesNotExist: if there is no such token, or it is no longer valid.
    :raises SignatureRequired: if the request is unsigned, and the account requires a signature.
    :raises AuthenticationFailed: if the signature is invalid, stale or replayed.
    """
    if not message:
        token: Token = Token.objects.find(digest=digest, now=now)
        if token.user.account.must_sign:
            raise SignatureRequired
        return token
    parameters = read_parameters(message.headers.get("signature-input", ""), message.headers.get("signature", ""))
    token = Token.objects.find(digest=digest, key_id=key_id(parameters), now=now)
    _verify(message, parameters, token.signing_key, now)
    return token


def _verify(message: SignedMessage, parameters: Mapping[str, Any], key: SigningKey | None, now: datetime) -> None:
    _check_time(parameters, now)
    nonce = _verified_nonce(key or _decoy(parameters.get("alg")), message, parameters)
    if not key:
        raise InvalidRequestSignature("unknown signing key")
    if not Nonce.objects.consume(key=key, nonce=nonce, now=now):
        raise ReplayedRequest


def _check_time(parameters: Mapping[str, Any], now: datetime) -> None:
    created, expires = parameters["created"], parameters.get("expires")
    if type(created) is not int or abs(created - int(now.timestamp())) > TOLERANCE.total_seconds():
        raise StaleSignature
    if type(expires) is int and expires < now.timestamp():
        raise StaleSignature


@lru_cache
def _decoy(algorithm: object) -> SigningKey:
    """
    Return a signing key without an owner, so that verification takes as long for an unknown key as for a known one.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if algorithm == SigningKey.Algorithm.ED25519:
        public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        return SigningKey(algorithm=SigningKey.Algorithm.ED25519, public_key=b64encode(public).decode())
    return SigningKey(algorithm=SigningKey.Algorithm.HMAC_SHA256, sealed_secret=seal(token_bytes(32)))


def _verified_nonce(key: SigningKey, message: SignedMessage, parameters: Mapping[str, Any]) -> str:
    """
    Verify the signature by this key and its algorithm, and return its nonce.
    """
    from http_message_signatures import HTTPMessageSignaturesException, HTTPMessageVerifier, MappingKeyResolver
    from http_message_signatures.algorithms import ED25519, HMAC_SHA256

    algorithm = {"hmac-sha256": HMAC_SHA256, "ed25519": ED25519}[key.algorithm]
    try:
        keys = MappingKeyResolver(public_keys={cast("str", parameters.get("keyid")): key.verifier()}, private_keys={})
        verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=keys)
        verifier.max_clock_skew = TOLERANCE
        [result] = verifier.verify(
            message,
            max_age=timedelta(),
            expect_tag=TAG,
            require_components=_required_components(message),
        )
    except (HTTPMessageSignaturesException, LostSecret) as error:
        raise InvalidRequestSignature(error) from None
    nonce = result.nonce or ""
    if not NONCE.fullmatch(nonce):
        raise InvalidRequestSignature("no nonce of 1 to 128 visible characters")
    return nonce


def _required_components(message: SignedMessage) -> Sequence[str]:
    """
    Return the components that a signature must cover: those that the shop acts on.
    """
    body = COVERED_OF_BODY if message.has_body else ()
    sent = (name for name in COVERED_IF_SENT if name in message.headers and name not in body)
    return (*COVERED, *body, *sent)
