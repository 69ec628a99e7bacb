"""
Signed requests: HTTP Message Signatures (RFC 9421) over a Content-Digest (RFC 9530), as the shop wants them.

A signature comes in addition to a token, by a key of the same user. It covers all that a request means, so that it fits
no other request; it was made just now, and its nonce is used up, so that it fits no second time.
"""

import logging
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from secrets import token_bytes
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.utils.encoding import escape_uri_path
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from shop.accounts.models import LostSecret, Nonce, SigningKey, Token, seal

logger = logging.getLogger(__name__)

TAG = "shop-api"
TOLERANCE = timedelta(minutes=5)
NONCES_KEPT = 2 * TOLERANCE + timedelta(minutes=1)

COVERED = ("@method", "@authority", "@path", "@query")
COVERED_WITH_A_BODY = ("content-type", "content-digest")

LONGEST_FIELD = 2_048
NONCE = re.compile(r"[!-~]{1,128}", re.ASCII)
CREATED = re.compile(r"; *created=([^;,]*)")
SECONDS = re.compile(r"[0-9]{10}", re.ASCII)


class Stale(AuthenticationFailed):
    """
    The request was signed too long ago, or in the future; or it does not say when.
    """

    default_code = "timestamp_out_of_tolerance"
    default_detail = "`created` must be the time of signing in whole seconds, at most 5 minutes from ours."


class Unfit(AuthenticationFailed):
    """
    Whatever else is wrong with a signature. Nobody learns from the answer what it is; the log tells.
    """

    default_code = "invalid_signature"
    default_detail = "The signature does not fit this request."

    def __init__(self, reason: object) -> None:
        super().__init__()
        logger.info("A signature was refused: %s", reason)


@dataclass(frozen=True)
class Message:
    """
    A request as it is signed: what the shop acts on, in one spelling whichever one was sent.
    """

    method: str
    url: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, request: Request) -> "Message":
        query = quote(request.META.get("QUERY_STRING", "").encode("latin-1", "replace"), safe="%:/?@!$&'()*+,;=~")
        url = f"{request.scheme}://{request.get_host()}{escape_uri_path(request.path)}?{query}"
        return cls(request.method, url, request.headers)


def is_signed(request: Request) -> bool:
    """
    Tell whether a request claims to be signed.
    """
    return "HTTP_SIGNATURE" in request.META or "HTTP_SIGNATURE_INPUT" in request.META


def claims_of(request: Request) -> Mapping[str, Any]:
    """
    Read what the only signature of a request says of itself, which is true only if it verifies; nothing if it has none.

    :raises AuthenticationFailed: if it cannot be read, or does not say when it was made.
    """
    import http_sf

    if not is_signed(request):
        return {}
    described, signature = (request.META.get(f"HTTP_{name}", "") for name in ("SIGNATURE_INPUT", "SIGNATURE"))
    if len(described) > LONGEST_FIELD or len(signature) > LONGEST_FIELD:
        raise Unfit("too long")
    try:
        [(_, claims)] = http_sf.parse(described.encode("ascii"), tltype="dictionary").values()
    except (ValueError, TypeError) as problem:
        created = CREATED.search(described)
        raise (Stale() if created and not SECONDS.fullmatch(created[1]) else Unfit(problem)) from None
    if "created" not in claims:
        raise Unfit("no time")
    return claims


def key_id_of(claims: Mapping[str, Any]) -> UUID | None:
    """
    Tell by which key a signature claims to be made; none if that is no key of ours.
    """
    try:
        return UUID(str(claims.get("keyid")))
    except ValueError:
        return None


def check(request: Request, claims: Mapping[str, Any], *, token: Token, now: datetime) -> None:
    """
    Verify the signature of a request, if it has one, and use up its nonce.

    :param token: as `Token.objects.find` has found it, with the key that the signature claims.
    :raises NotAuthenticated: if it has none, and its owner must sign.
    :raises AuthenticationFailed: if it is no good, not fresh, or was here before.
    """
    if claims:
        _verify(request, claims, token.signing_key, now)
    elif token.user.account.must_sign:
        raise NotAuthenticated("This account takes signed requests only.", code="signature_required")


def _verify(request: Request, claims: Mapping[str, Any], key: SigningKey | None, now: datetime) -> None:
    _refuse_stale(claims, now)
    nonce = _nonce_signed_by(key or _decoy(claims.get("alg")), request, claims)
    if not key:
        raise Unfit("nobody has this key")
    if not Nonce.objects.use_up(key=key, nonce=nonce, now=now):
        raise AuthenticationFailed("This nonce was used before.", code="replayed_request")


def _refuse_stale(claims: Mapping[str, Any], now: datetime) -> None:
    created, expires = claims["created"], claims.get("expires")
    if type(created) is not int or abs(created - int(now.timestamp())) > TOLERANCE.total_seconds():
        raise Stale
    if type(expires) is int and expires < now.timestamp():
        raise Stale


@lru_cache
def _decoy(algorithm: object) -> SigningKey:
    """
    Make a key that nobody has, so that an unknown key costs us what a known one does.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if algorithm == SigningKey.Algorithm.ED25519:
        public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        return SigningKey(algorithm=algorithm, public_key=b64encode(public).decode())
    return SigningKey(algorithm=SigningKey.Algorithm.HMAC_SHA256, sealed_secret=seal(token_bytes(32)))


def _nonce_signed_by(key: SigningKey, request: Request, claims: Mapping[str, Any]) -> str:
    """
    Verify the signature by this key and its algorithm, and return the nonce that it covers.
    """
    from http_message_signatures import HTTPMessageSignaturesException, HTTPMessageVerifier, MappingKeyResolver
    from http_message_signatures.algorithms import ED25519, HMAC_SHA256

    algorithm = {"hmac-sha256": HMAC_SHA256, "ed25519": ED25519}[key.algorithm]
    try:
        keys = MappingKeyResolver(public_keys={claims.get("keyid"): key.verifier()}, private_keys={})
        verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=keys)
        verifier.max_clock_skew = TOLERANCE
        [good] = verifier.verify(
            Message.of(request),
            max_age=timedelta(),
            expect_tag=TAG,
            require_components=_required(request),
            body=request.body,
        )
    except (HTTPMessageSignaturesException, LostSecret) as problem:
        raise Unfit(problem) from None
    if not NONCE.fullmatch(good.nonce or ""):
        raise Unfit("no nonce of 1 to 128 visible characters")
    return good.nonce


def _required(request: Request) -> Sequence[str]:
    """
    List what has to be covered, since the shop acts on it.
    """
    body = COVERED_WITH_A_BODY if request.body else ()
    key = ("idempotency-key",) if "HTTP_IDEMPOTENCY_KEY" in request.META else ()
    return COVERED + body + key
