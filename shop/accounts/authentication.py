"""
Authentication: of programs by token, with or without a signature, and of people by password and session.
"""

import re
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from knox import auth
from knox.crypto import hash_token
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from shop.accounts import signatures
from shop.accounts.models import Token
from shop.http.throttling import ADDRESS_FAILURES, USERNAME_FAILURES, client_address

CREDENTIALS = re.compile(r"Token +([!-~]+)", re.ASCII | re.IGNORECASE)


class TokenAuthentication(auth.TokenAuthentication):
    """
    Authenticate by token, and verify the signature if there is one or the account requires one.

    A request with an `Authorization` header or a signature is authenticated by these only, never by a session cookie.
    """

    def authenticate(self, request: Request) -> tuple[Any, Token] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None and not signatures.is_signed(request):
            return None
        address = client_address(request)
        ADDRESS_FAILURES.check(address)
        try:
            parameters = signatures.read_parameters(request)
            token = _find(header or "", key_id=signatures.key_id(parameters))
            signatures.verify(request, parameters, token=token, now=timezone.now())
        except AuthenticationFailed:
            ADDRESS_FAILURES.record(address)
            raise
        return token.user, token


class SessionAuthentication(authentication.SessionAuthentication):
    """
    Authenticate by session, with a CSRF token for unsafe methods.
    """

    def enforce_csrf(self, request: Request) -> None:
        try:
            # Django's own request, which reads the token without authenticating the user first.
            super().enforce_csrf(cast("Request", request._request))  # noqa: SLF001  (DRF has no other way)
        except PermissionDenied as error:
            raise PermissionDenied(str(error.detail), code="csrf_failed") from None


class ThrottledModelBackend(ModelBackend):
    """
    Authenticate by username and password, on every login form, unless too many attempts have failed.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        address = client_address(request) if request else ""
        USERNAME_FAILURES.check(username)
        ADDRESS_FAILURES.check(address)
        user = super().authenticate(request, username, password)
        if user is None:
            USERNAME_FAILURES.record(username)
            ADDRESS_FAILURES.record(address)
        return user


def _find(header: str, *, key_id: UUID | None) -> Token:
    """
    Return the token in an `Authorization` header, with the signing key of this id.

    :raises AuthenticationFailed: if the header is malformed, or the token invalid.
    """
    credentials = CREDENTIALS.fullmatch(header)
    if not credentials:
        raise AuthenticationFailed("Send `Authorization: Token …` with one token.", code="not_authenticated")
    try:
        token: Token = Token.objects.find(digest=hash_token(credentials[1]), key_id=key_id, now=timezone.now())
    except Token.DoesNotExist:
        raise AuthenticationFailed("The token is unknown, revoked or expired.", code="invalid_token") from None
    return token
