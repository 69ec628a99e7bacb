"""
Who asks: a program by its token, with or without a signature, or a person by the session of their browser.
"""

import re
from typing import Any
from uuid import UUID

from django.utils import timezone
from knox import auth
from knox.crypto import hash_token
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from shop.accounts import signatures
from shop.accounts.models import Token
from shop.http.throttling import FAILURES_OF_ADDRESS, address_of

CREDENTIALS = re.compile(r"Token +([!-~]+)", re.ASCII | re.IGNORECASE)


class TokenAuthentication(auth.TokenAuthentication):
    """
    Take a token, and look at the signature if there is one or has to be.

    Whoever sends an `Authorization` or a signature is known by that or not at all: never by a cookie that came along.
    """

    def authenticate(self, request: Request) -> tuple[Any, Token] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None and not signatures.is_signed(request):
            return None
        address = address_of(request)
        FAILURES_OF_ADDRESS.refuse_exhausted(address)
        try:
            claims = signatures.claims_of(request)
            token = _find(header or "", key_id=signatures.key_id_of(claims))
            signatures.check(request, claims, token=token, now=timezone.now())
        except AuthenticationFailed:
            FAILURES_OF_ADDRESS.note(address)
            raise
        return token.user, token


class SessionAuthentication(authentication.SessionAuthentication):
    """
    Take a session of a browser; whatever changes something must come from a page of ours.
    """

    def enforce_csrf(self, request: Request) -> None:
        try:
            # Django's own request, which reads the token without asking who is sending the form.
            super().enforce_csrf(request._request)  # noqa: SLF001  (DRF has no other way)
        except PermissionDenied as refusal:
            raise PermissionDenied(str(refusal.detail), code="csrf_failed") from None


def _find(header: str, *, key_id: UUID | None) -> Token:
    """
    Find the token that this header carries, and its user's key of this id.
    """
    sent = CREDENTIALS.fullmatch(header)
    if not sent:
        raise AuthenticationFailed("Send `Authorization: Token …` with one token.", code="not_authenticated")
    try:
        return Token.objects.find(digest=hash_token(sent[1]), key_id=key_id, now=timezone.now())
    except Token.DoesNotExist:
        raise AuthenticationFailed("This token is unknown, revoked or expired.", code="invalid_token") from None
