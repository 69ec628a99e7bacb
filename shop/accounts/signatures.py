"""
Signed requests: HTTP Message Signatures (RFC 9421) over a Content-Digest (RFC 9530).

A signature is made in addition to a token, by a signing key of the same user. It covers every part of the request that
the shop acts on, so it is valid for no other request; its time is recent and its nonce new, so it is valid once.
"""

import logging
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from secrets import token_bytes
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

from django.utils.encoding import escape_uri_path
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from shop.accounts.models import Nonce, SigningKey, Token
from shop.accounts.sealing import LostSecret, seal

logger = logging.getLogger(__name__)

TAG = "shop-api"
TOLERANCE = timedelta(minutes=5)
NONCE_RETENTION = 2 * TOLERANCE + timedelta(minutes=1)

COVERED = ("@method", "@authority", "@path", "@query")
COVERED_OF_BODY = ("content-type", "content-digest")

MAX_FIELD_LENGTH = 2_048
NONCE = re.compile(r"[!-~]{1,128}", re.ASCII)
CREATED = re.compile(r"; *created=([^;,]*)")
SECONDS = re.compile(r"[0-9]{10}", re.ASCII)


class StaleSignature(AuthenticationFailed):
    """
    The signature was made too long ago or in the future, or its time is malformed.
    """

    default_code = "timestamp_out_of_tolerance"
    default_detail = "`created` must be the time of signing in whole seconds, at most 5 minutes from the shop's clock."


class InvalidRequestSignature(AuthenticationFailed):
    """
    The signature is invalid. The reason is logged, and not disclosed to the client.
    """

    default_code = "invalid_signature"
    default_detail = "The signature does not match this request."

    def __init__(self, reason: object) -> None:
        super().__init__()
        logger.info("A signature was rejected: %s", reason)


@dataclass(frozen=True)
class SignedMessage:
    """
    A request in the normal form that is signed, as the library reads it.
    """

    method: str
    url: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, request: Request) -> "SignedMessage":
        query = quote(request.META.get("QUERY_STRING", "").encode("latin-1", "replace"), safe="%:/?@!$&'()*+,;=~")
        url = f"{request.scheme}://{request.get_host()}{escape_uri_path(request.path)}?{query}"
        return cls(request.method or "", url, request.headers)


def is_signed(request: Request) -> bool:
    """
    Return whether a request has a signature, valid or not.
    """
    return "HTTP_SIGNATURE" in request.META or "HTTP_SIGNATURE_INPUT" in request.META


def read_parameters(request: Request) -> Mapping[str, Any]:
    """
    Return the parameters of a request's only signature, unverified; empty if it has none.

    :raises InvalidRequestSignature: if the headers are malformed, have several signatures, or no time of signing.
    :raises StaleSignature: if the time of signing is malformed.
    """
    import http_sf

    if not is_signed(request):
        return {}
    covered, signature = (request.META.get(f"HTTP_{name}", "") for name in ("SIGNATURE_INPUT", "SIGNATURE"))
    if len(covered) > MAX_FIELD_LENGTH or len(signature) > MAX_FIELD_LENGTH:
        raise InvalidRequestSignature("too long")
    try:
        fields: Any = http_sf.parse(covered.encode("ascii"), tltype="dictionary")
        [(_, parameters)] = fields.values()
    except (ValueError, TypeError) as error:
        created = CREATED.search(covered)
        is_stale = created and not SECONDS.fullmatch(created[1])
        raise (StaleSignature() if is_stale else InvalidRequestSignature(error)) from None
    if "created" not in parameters:
        raise InvalidRequestSignature("no `created`")
    return cast("Mapping[str, Any]", parameters)


def key_id(parameters: Mapping[str, Any]) -> UUID | None:
    """
    Return the id of the signing key that a signature names; none if it is not the id of a key.
    """
    try:
        return UUID(str(parameters.get("keyid")))
    except ValueError:
        return None


def verify(request: Request, parameters: Mapping[str, Any], *, token: Token, now: datetime) -> None:
    """
    Verify the signature of a request, if it has one, and consume its nonce.

    :param token: the request's, from `Token.objects.find` with the signing key that the signature names.
    :raises NotAuthenticated: if the request is unsigned, and the account requires a signature.
    :raises AuthenticationFailed: if the signature is invalid, stale or replayed.
    """
    if parameters:
        _verify(request, parameters, token.signing_key, now)
    elif token.user.account.must_sign:
        raise NotAuthenticated("This account takes signed requests only.", code="signature_required")


def _verify(request: Request, parameters: Mapping[str, Any], key: SigningKey | None, now: datetime) -> None:
    _check_time(parameters, now)
    nonce = _verified_nonce(key or _decoy(parameters.get("alg")), request, parameters)
    if not key:
        raise InvalidRequestSignature("unknown signing key")
    if not Nonce.objects.consume(key=key, nonce=nonce, now=now):
        raise AuthenticationFailed("This nonce was used before.", code="replayed_request")


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


def _verified_nonce(key: SigningKey, request: Request, parameters: Mapping[str, Any]) -> str:
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
            SignedMessage.of(request),
            max_age=timedelta(),
            expect_tag=TAG,
            require_components=_required_components(request),
            body=request.body,
        )
    except (HTTPMessageSignaturesException, LostSecret) as error:
        raise InvalidRequestSignature(error) from None
    nonce = result.nonce or ""
    if not NONCE.fullmatch(nonce):
        raise InvalidRequestSignature("no nonce of 1 to 128 visible characters")
    return nonce


def _required_components(request: Request) -> Sequence[str]:
    """
    Return the components that a signature must cover: those that the shop acts on.
    """
    body = COVERED_OF_BODY if request.body else ()
    key = ("idempotency-key",) if "HTTP_IDEMPOTENCY_KEY" in request.META else ()
    return COVERED + body + key
