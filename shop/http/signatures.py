"""
Signed requests: HTTP Message Signatures (RFC 9421) over a Content-Digest (RFC 9530).

Here is what every service does: it reads the request and verifies the digest. `shop.accounts.signatures` verifies the
signature, where the keys are.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import msgspec
from django.utils.encoding import escape_uri_path
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

logger = logging.getLogger(__name__)

MAX_FIELD_LENGTH = 2_048
CREATED = re.compile(r"; *created=([^;,]*)")
SECONDS = re.compile(r"[0-9]{10}", re.ASCII)
READ_HEADERS = ("signature", "signature-input", "content-digest", "idempotency-key")
"""What the verification of a signature reads, whether or not the signature covers it."""


class StaleSignature(AuthenticationFailed):
    """
    The signature was made too long ago or in the future, or its time is malformed.
    """

    default_code = "timestamp_out_of_tolerance"
    default_detail = _(
        "`created` must be the time of signing in whole seconds, at most 5 minutes from the shop's clock."
    )


class InvalidRequestSignature(AuthenticationFailed):
    """
    The signature is invalid. The reason is logged, and not disclosed to the client.
    """

    default_code = "invalid_signature"
    default_detail = _("The signature does not match this request.")

    def __init__(self, reason: object = "the accounts' service has logged the reason") -> None:
        super().__init__()
        logger.info("A signature was rejected: %s", reason)


class ReplayedRequest(AuthenticationFailed):
    """
    The signature is valid, but its nonce was used before.
    """

    default_code = "replayed_request"
    default_detail = _("This nonce was used before.")


class SignatureRequired(NotAuthenticated):
    """
    The account requires a signature, and the request has none.
    """

    default_code = "signature_required"
    default_detail = _("This account takes signed requests only.")


REJECTIONS: Mapping[str, type[APIException]] = {
    rejection.default_code: rejection
    for rejection in (StaleSignature, InvalidRequestSignature, ReplayedRequest, SignatureRequired)
}
"""By error code."""


class SignedMessage(msgspec.Struct, frozen=True):
    """
    A request in the normal form that is signed, as the library reads it. The digest of its body is verified.

    :param headers: by lower-case name; those that its signature may cover.
    """

    method: str
    url: str
    headers: dict[str, str]
    has_body: bool

    @classmethod
    def of(cls, request: Request) -> "SignedMessage":
        """
        Return the normal form of a signed request.

        :raises InvalidRequestSignature: if its digest is malformed, or that of another body.
        """
        query = quote(request.META.get("QUERY_STRING", "").encode("latin-1", "replace"), safe="%:/?@!$&'()*+,;=~")
        url = f"{request.scheme}://{request.get_host()}{escape_uri_path(request.path)}?{query}"
        headers = {name.lower(): value for name, value in request.headers.items()}
        _verify_digest(headers.get("content-digest"), request.body)
        covered = headers.get("signature-input", "")
        read = {name: value for name, value in headers.items() if name in READ_HEADERS or f'"{name}"' in covered}
        return cls(request.method or "", url, read, bool(request.body))


def is_signed(request: Request) -> bool:
    """
    Return whether a request has a signature, valid or not.
    """
    return "HTTP_SIGNATURE" in request.META or "HTTP_SIGNATURE_INPUT" in request.META


def read_parameters(covered: str, signature: str) -> Mapping[str, Any]:
    """
    Return the parameters of a request's only signature, unverified.

    :param covered: the header `Signature-Input`.
    :param signature: the header `Signature`.
    :raises InvalidRequestSignature: if the headers are malformed, have several signatures, or no time of signing.
    :raises StaleSignature: if the time of signing is malformed.
    """
    import http_sf

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


def _verify_digest(digest: str | None, body: bytes) -> None:
    from http_message_signatures import ContentDigest, HTTPMessageSignaturesException

    try:
        if digest is not None:
            ContentDigest.verify(digest, body)
    except HTTPMessageSignaturesException as error:
        raise InvalidRequestSignature(error) from None
