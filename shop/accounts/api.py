"""
Tokens and signing keys of the authenticated user.
"""

from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed, ErrorDetail, ValidationError
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from shop.accounts import services
from shop.accounts.authentication import SessionAuthentication, TokenAuthentication
from shop.accounts.models import SigningKey, Token
from shop.http.exceptions import Conflict
from shop.http.fields import Choice, Input, Text, WholeNumber
from shop.http.views import ShopView


class TokenInput(Input):
    username = Text(code="invalid_field", max_length=150)
    password = Text(code="invalid_field", max_length=4_096)
    name = Text(code="invalid_name", max_length=100, help_text="What you call it, to know it among your tokens.")
    expires_in_days = WholeNumber(code="invalid_expiry", min_value=1, max_value=365, default=30)


class TokenOutput(serializers.ModelSerializer[Token]):
    created_at = serializers.DateTimeField(source="created")
    expires_at = serializers.DateTimeField(source="expiry")

    class Meta:
        model = Token
        fields: tuple[str, ...] = ("id", "name", "created_at", "expires_at")


class NewTokenOutput(TokenOutput):
    token = serializers.CharField(help_text="To be sent as `Authorization: Token …`. Shown this once.")

    class Meta(TokenOutput.Meta):
        fields = (*TokenOutput.Meta.fields, "token")


class PublicKeyInput(Input):
    public_key = Text(
        code="invalid_public_key",
        required=False,
        allow_blank=True,
        max_length=1_000,
        help_text="For `ed25519`: its 32 bytes in base64, or PEM. The shop makes the secret of `hmac-sha256`.",
    )


class SigningKeyInput(PublicKeyInput):
    name = Text(code="invalid_name", max_length=100, help_text="What you call it, to know it among your keys.")
    algorithm = Choice(code="invalid_algorithm", choices=SigningKey.Algorithm.choices)


class SigningKeyOutput(serializers.ModelSerializer[SigningKey]):
    class Meta:
        model = SigningKey
        fields: tuple[str, ...] = ("id", "name", "algorithm", "public_key", "created_at", "expires_at")


class NewSigningKeyOutput(SigningKeyOutput):
    secret = serializers.CharField(help_text="For `hmac-sha256`: 32 bytes in base64. Shown this once.")

    class Meta(SigningKeyOutput.Meta):
        fields = (*SigningKeyOutput.Meta.fields, "secret")


class TokenViewSet(ShopView, mixins.ListModelMixin, viewsets.GenericViewSet[Token]):
    """
    Your tokens: by each, a program may do here what you may.
    """

    serializer_class = TokenOutput
    error_codes = {"create": ("invalid_credentials", "limit_reached")}
    is_deleted_from_list = True

    def get_queryset(self) -> QuerySet[Token]:
        return Token.objects.usable(timezone.now()).filter(user=self.request.user.pk)

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return TokenInput if self.action == "create" else TokenOutput

    def get_authenticators(self) -> list[BaseAuthentication]:
        """
        Ask for no token in order to give one: an old one, which some programs send always, must not stand in the way.
        """
        if self.request is None or self.operation != "create":
            return super().get_authenticators()
        return [] if "HTTP_AUTHORIZATION" in self.request.META else [SessionAuthentication()]

    def get_authenticate_header(self, request: Request) -> str:
        return TokenAuthentication().authenticate_header(request)

    def get_permissions(self) -> list[BasePermission]:
        return [AllowAny()] if self.action == "create" else super().get_permissions()

    @extend_schema(responses={201: NewTokenOutput})
    def create(self, request: Request) -> Response:
        """
        Exchange a username and a password for a token, to be sent as `Authorization: Token …`.
        """
        asked = TokenInput.read(request)
        user = authenticate(request._request, username=asked["username"], password=asked["password"])  # noqa: SLF001
        if user is None:
            raise AuthenticationFailed("This is no username with its password.", code="invalid_credentials")
        lifetime = timedelta(days=asked["expires_in_days"])
        try:
            issued, issued.token = services.issue_token(
                user=user, name=asked["name"], expires_in=lifetime, now=timezone.now()
            )
        except services.LimitReached as refusal:
            raise Conflict(str(refusal), code="limit_reached") from refusal
        return Response(NewTokenOutput(issued).data, status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """
        Revoke a token. It opens nothing from now on.
        """
        services.revoke_token(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


class SigningKeyViewSet(ShopView, mixins.ListModelMixin, viewsets.GenericViewSet[SigningKey]):
    """
    Your signing keys: a request signed by one of them is yours and unchanged, whoever else may know your token.
    """

    serializer_class = SigningKeyOutput
    error_codes = {"create": ("limit_reached",), "rotate": ("invalid_state",)}
    is_deleted_from_list = True

    def get_queryset(self) -> QuerySet[SigningKey]:
        return SigningKey.objects.usable(timezone.now()).filter(owner=self.request.user.pk)

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        inputs = {"create": SigningKeyInput, "rotate": PublicKeyInput}
        return inputs.get(self.action, SigningKeyOutput)

    @extend_schema(responses={201: NewSigningKeyOutput})
    def create(self, request: Request) -> Response:
        """
        Make a key. For `ed25519` send your public key; the secret of `hmac-sha256` is made here and shown this once.
        """
        asked = SigningKeyInput.read(request)
        try:
            made, made.secret = services.create_key(owner=request.user, now=timezone.now(), **asked)
        except services.InvalidPublicKey as refusal:
            raise _invalid_public_key(refusal) from refusal
        except services.LimitReached as refusal:
            raise Conflict(str(refusal), code="limit_reached") from refusal
        return Response(NewSigningKeyOutput(made).data, status.HTTP_201_CREATED)

    @extend_schema(responses={201: NewSigningKeyOutput})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """
        Make a key in this one's place, which still signs for a day, so that you can change your programs in peace.
        """
        asked = PublicKeyInput.check(request.data)
        try:
            made, made.secret = services.rotate_key(self.get_object(), now=timezone.now(), **asked)
        except services.InvalidPublicKey as refusal:
            raise _invalid_public_key(refusal) from refusal
        except services.AlreadyRotated as refusal:
            raise Conflict(str(refusal), code="invalid_state") from refusal
        return Response(NewSigningKeyOutput(made).data, status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """
        Revoke a key. It signs nothing from now on, not even in its grace.
        """
        services.revoke_key(self.get_object(), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _invalid_public_key(refusal: services.InvalidPublicKey) -> ValidationError:
    return ValidationError({"public_key": [ErrorDetail(str(refusal), code="invalid_public_key")]})
