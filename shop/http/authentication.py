"""
Authentication that every service has: of programs by token, of people by password and session.
"""

import re
from typing import Any, cast

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from shop.http.signatures import SignedMessage, is_signed
from shop.http.throttling import ADDRESS_FAILURES, USERNAME_FAILURES, client_address

PERMISSIONS = "_perm_cache"
"""Django's attribute of a user with the permissions that were read."""

CREDENTIALS = re.compile(r"Token +([!-~]+)", re.ASCII | re.IGNORECASE)


class InvalidToken(AuthenticationFailed):
    """
    The token is not valid, or no longer.
    """

    default_code = "invalid_token"
    default_detail = _("The token is unknown, revoked or expired.")


class ByToken(authentication.BaseAuthentication):
    """
    Authentication of programs by token, with or without a signature.

    A request with an `Authorization` header or a signature is authenticated by these only, never by a session cookie.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None and not is_signed(request):
            return None
        address = client_address(request)
        ADDRESS_FAILURES.check(address)
        try:
            message = SignedMessage.of(request) if is_signed(request) else None
            return self.verify(_token(header or ""), message)
        except AuthenticationFailed:
            ADDRESS_FAILURES.record(address)
            raise

    def authenticate_header(self, request: Request) -> str:
        return "Token"

    def verify(self, token: str, message: SignedMessage | None) -> tuple[Any, Any]:
        """
        Return the user of a token, and what proves it.

        :param message: the signed request; none if it is unsigned.
        :raises InvalidToken: if the token is not valid.
        :raises SignatureRequired: if the request is unsigned, and the account requires a signature.
        :raises AuthenticationFailed: if the signature is invalid, stale or replayed.
        """
        raise NotImplementedError


class BySession(authentication.SessionAuthentication):
    """
    Authentication of people by session, with a CSRF token for unsafe methods.
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

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """
        Return the permissions of a user and of the user's groups, by one statement instead of Django's two.
        """
        is_read = hasattr(user_obj, PERMISSIONS) or user_obj.is_superuser
        if user_obj.is_active and not user_obj.is_anonymous and obj is None and not is_read:
            setattr(user_obj, PERMISSIONS, self.read_permissions(user_obj))
        return super().get_all_permissions(user_obj, obj)

    def read_permissions(self, user: Any) -> set[str]:
        """
        Return the permissions of an active user who is no superuser, such as {"orders.view_order"}.
        """
        names = Permission.objects.order_by().values_list("content_type__app_label", "codename")
        return {f"{app}.{name}" for app, name in names.filter(user=user).union(names.filter(group__user=user))}


def _token(header: str) -> str:
    """
    Return the token in an `Authorization` header.

    :raises AuthenticationFailed: if the header is malformed.
    """
    credentials = CREDENTIALS.fullmatch(header)
    if not credentials:
        raise AuthenticationFailed(gettext("Send `Authorization: Token …` with one token."), code="not_authenticated")
    return credentials[1]
