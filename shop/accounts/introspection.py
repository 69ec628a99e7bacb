"""
Token introspection (RFC 7662) for the services that have no accounts. They authenticate by `INTROSPECTION_SECRET`;
without that setting the endpoint does not exist.
"""

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed, NotFound, ParseError
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from shop.accounts.models import Token
from shop.accounts.signatures import find_token
from shop.http.introspection import SESSION, Introspection
from shop.http.parsers import refuse_encodings
from shop.http.signatures import REJECTIONS, SignedMessage
from shop.http.throttling import ADDRESS_FAILURES, client_address
from shop.http.views import ShopView, account_language

INACTIVE = Introspection(active=False)


class IntrospectionView(ShopView):
    """
    The endpoint for the shop's other services. The API description leaves it out: clients of the API cannot call it.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    parser_classes = (FormParser,)
    renderer_classes = (JSONRenderer,)

    def get_authenticate_header(self, request: Request) -> str:
        return "Bearer"

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        """
        Return whether a token, or the session with this key, is valid, and whose it is.
        """
        _authenticate(request)
        refuse_encodings(request._request)  # noqa: SLF001  (DRF does not read the charset)
        parameters = _parameters(request)
        if parameters.get("token_type_hint") == SESSION:
            answer = introspect_session(parameters["token"])
        else:
            answer = introspect_token(parameters["token"], _signed_message(parameters.get("signed_request", "")))
        return Response(msgspec.to_builtins(answer))


def introspect_token(text: str, message: SignedMessage | None) -> Introspection:
    """
    Return whether a token is valid and, if the request is signed, its signature, whose nonce is consumed.
    """
    try:
        token = find_token(hash_token(text), message, now=timezone.now())
    except Token.DoesNotExist:
        return INACTIVE
    except tuple(REJECTIONS.values()) as rejection:
        return Introspection(active=False, code=rejection.default_code)
    return _active(token.user, exp=int(token.expiry.timestamp()))


def introspect_session(key: str) -> Introspection:
    """
    Return whether the session with this key is one of an active user, as Django checks it.
    """
    request = HttpRequest()
    request.session = SessionCopy(SessionStore(key).load())  # type: ignore[assignment]
    user = auth.get_user(request)
    return _active(user) if isinstance(user, User) else INACTIVE


class SessionCopy(dict[str, Any]):
    """
    The data of a session that `get_user` does not replace: its cookie is in a browser that takes no part in this.
    """

    def cycle_key(self) -> None:
        """
        Keep the key, which Django would replace after a rotation of SECRET_KEY.
        """

    def flush(self) -> None:
        """
        Keep the stored session, which Django would delete after a change of the password.
        """


def _active(user: User, *, exp: int = 0) -> Introspection:
    return Introspection(
        active=True,
        sub=str(user.pk),
        username=user.get_username(),
        exp=exp,
        is_staff=user.is_staff,
        is_superuser=user.is_superuser,
        language=account_language(user),
    )


def _authenticate(request: Request) -> None:
    """
    Authenticate a service. A wrong secret counts as a failure of its address; the right one is never rejected, as it is
    too long to be guessed, and others could close the endpoint to the services.

    :raises NotFound: if the shop has no secret.
    :raises Throttled: if the secret is wrong, as many credentials from this address.
    :raises AuthenticationFailed: if it is wrong.
    """
    if not settings.SERVICE.introspection_secret:
        raise NotFound
    expected = f"Bearer {settings.SERVICE.introspection_secret}".encode()
    if hmac.compare_digest(request.META.get("HTTP_AUTHORIZATION", "").encode(), expected):
        return
    ADDRESS_FAILURES.check(client_address(request))
    ADDRESS_FAILURES.record(client_address(request))
    raise AuthenticationFailed("Send `Authorization: Bearer` with INTROSPECTION_SECRET.", code="invalid_token")


def _parameters(request: Request) -> Mapping[str, str]:
    """
    Return the parameters of the form, among them `token`.

    :raises ParseError: if it is missing, or a parameter is repeated.
    """
    values = dict(request.data.lists()) if isinstance(request.data, QueryDict) else {}
    if "token" not in values or any(len(repeated) > 1 for repeated in values.values()):
        raise ParseError("Send `token` and each other parameter once.", code="bad_request")
    return {name: value for name, [value] in values.items()}


def _signed_message(text: str) -> SignedMessage | None:
    try:
        return msgspec.json.decode(text, type=SignedMessage) if text else None
    except msgspec.DecodeError as error:
        raise ParseError(f"`signed_request` is malformed: {error}.", code="bad_request") from error
