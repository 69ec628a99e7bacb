"""
The account, tokens and signing keys of the authenticated user.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError as WeakPassword
from django.core.validators import MaxLengthValidator
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, mixins, serializers, status, viewsets
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed, ErrorDetail, NotFound, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from shop.accounts import passwords, services, signing_up
from shop.accounts.authentication import TokenAuthentication
from shop.accounts.links import link_attempt
from shop.accounts.models import SigningKey, Token
from shop.http.authentication import BySession
from shop.http.exceptions import Conflict
from shop.http.fields import Choice, EmailText, Input, Text, WholeNumber
from shop.http.throttling import consume_account_mail
from shop.http.views import ShopView, account_language, user_of


class AccountInput(Input):
    language = Choice(
        code="invalid_language",
        choices=settings.LANGUAGES,
        required=False,
        allow_blank=True,
        help_text="Of messages about your orders; empty for that of the request that places an order.",
    )


class AccountOutput(serializers.Serializer[User]):
    username = serializers.CharField()
    language = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ChoiceField(choices=settings.LANGUAGES, allow_blank=True))
    def get_language(self, user: User) -> str:
        return account_language(user)


class PasswordInput(Input):
    current_password = Text(code="invalid_field", max_length=4_096)
    new_password = Text(code="invalid_field", max_length=4_096)


class PasswordResetInput(Input):
    email = EmailText(code="invalid_email", help_text="Of the account.")


class PasswordResetConfirmInput(Input):
    token = Text(code="invalid_field", max_length=200, help_text="From the link in the mail: what begins with `link_`.")
    new_password = Text(code="invalid_field", max_length=4_096)


class SignUpInput(Input):
    email = EmailText(
        code="invalid_email",
        validators=[MaxLengthValidator(signing_up.MOST_CHARACTERS)],
        help_text="It becomes the username, and so has at most 150 characters.",
    )


class TokenInput(Input):
    username = Text(code="invalid_field", max_length=150)
    password = Text(code="invalid_field", max_length=4_096)
    name = Text(code="invalid_name", max_length=100, help_text="Your name for it.")
    expires_in_days = WholeNumber(code="invalid_expiry", min_value=1, max_value=365, default=30)


class TokenOutput(serializers.ModelSerializer[Token]):
    created_at = serializers.DateTimeField(source="created")
    expires_at = serializers.DateTimeField(source="expiry")

    class Meta:
        model = Token
        fields: tuple[str, ...] = ("id", "name", "created_at", "expires_at")


class NewTokenOutput(TokenOutput):
    token = serializers.CharField(help_text="Send it as `Authorization: Token …`. It is not shown again.")

    class Meta(TokenOutput.Meta):
        fields = (*TokenOutput.Meta.fields, "token")


class PublicKeyInput(Input):
    public_key = Text(
        code="invalid_public_key",
        required=False,
        allow_blank=True,
        max_length=1_000,
        help_text="For `ed25519`: the 32 bytes in base64, or PEM. Omit it for `hmac-sha256`.",
    )


class SigningKeyInput(PublicKeyInput):
    name = Text(code="invalid_name", max_length=100, help_text="Your name for it.")
    algorithm = Choice(code="invalid_algorithm", choices=SigningKey.Algorithm.choices)


class SigningKeyOutput(serializers.ModelSerializer[SigningKey]):
    class Meta:
        model = SigningKey
        fields: tuple[str, ...] = ("id", "name", "algorithm", "public_key", "created_at", "expires_at")


class NewSigningKeyOutput(SigningKeyOutput):
    secret = serializers.CharField(help_text="For `hmac-sha256`: 32 bytes in base64. It is not shown again.")

    class Meta(SigningKeyOutput.Meta):
        fields = (*SigningKeyOutput.Meta.fields, "secret")


class AccountView(ShopView, generics.GenericAPIView[User]):
    """
    Your account.
    """

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return AccountInput if self.operation == "patch" else AccountOutput

    @extend_schema(responses=AccountOutput)
    def get(self, request: Request) -> Response:
        """
        Retrieve your account.
        """
        return Response(AccountOutput(user_of(request)).data)

    @extend_schema(responses=AccountOutput)
    def patch(self, request: Request) -> Response:
        """
        Change your account. Orders placed before keep their language.
        """
        values = AccountInput.read(request)
        if "language" in values:
            services.set_language(user_of(request), values["language"])
        return self.get(request)


class PasswordView(ShopView, generics.GenericAPIView[User]):
    """
    Your password.
    """

    serializer_class = PasswordInput
    error_codes = {"post": ("invalid_state", "weak_password", "wrong_password")}

    @extend_schema(responses={204: None})
    def post(self, request: Request) -> Response:
        """
        Change your password. All sessions end, and all tokens are revoked, also one that sends this request: get a new
        one. Signing keys stay.
        """
        values = PasswordInput.read(request)
        username = user_of(request).get_username()
        user = authenticate(request._request, username=username, password=values["current_password"])  # noqa: SLF001
        if not isinstance(user, User):
            detail = gettext("This is not your present password.")
            raise ValidationError({"current_password": [ErrorDetail(detail, code="wrong_password")]})
        try:
            passwords.change(user, values["new_password"])
        except WeakPassword as error:
            raise _weak_password(error) from error
        except passwords.ChangedMeanwhile as error:
            raise Conflict(gettext("Your password was changed at the same time."), code="invalid_state") from error
        if isinstance(request.successful_authenticator, BySession):
            update_session_auth_hash(request._request, user)  # noqa: SLF001
        return Response(status=status.HTTP_204_NO_CONTENT)


class PasswordResetView(ShopView, generics.GenericAPIView[User]):
    """
    The request of a link by which a forgotten password is replaced.
    """

    serializer_class = PasswordResetInput
    permission_classes = (AllowAny,)

    @extend_schema(responses={202: None})
    def post(self, request: Request) -> Response:
        """
        Have a link mailed to the address of an account, by which its owner sets a new password. The response is the
        same if no account has this address.
        """
        values = PasswordResetInput.read(request)
        consume_account_mail(request, values["email"])
        passwords.request_reset(values["email"], now=timezone.now())
        return Response(status=status.HTTP_202_ACCEPTED)


class PasswordResetConfirmView(ShopView, generics.GenericAPIView[User]):
    """
    The use of that link.
    """

    serializer_class = PasswordResetConfirmInput
    permission_classes = (AllowAny,)
    error_codes = {"post": ("expired_link", "weak_password")}

    @extend_schema(operation_id="password_resets_confirm", responses={204: None})
    def post(self, request: Request) -> Response:
        """
        Set a new password by the token of a link, which is valid once. All sessions end, and all tokens are revoked.
        """
        values = PasswordResetConfirmInput.read(request)
        try:
            with link_attempt(request):
                passwords.reset(passwords.find_reset(values["token"], now=timezone.now()), values["new_password"])
        except WeakPassword as error:
            raise _weak_password(error) from error
        return Response(status=status.HTTP_204_NO_CONTENT)


class SignUpView(ShopView, generics.GenericAPIView[User]):
    """
    The request of a link by which a customer signs up.
    """

    serializer_class = SignUpInput
    permission_classes = (AllowAny,)
    error_codes = {"post": ("not_found",)}

    @extend_schema(responses={202: None})
    def post(self, request: Request) -> Response:
        """
        Have a link mailed to an address, by which its owner signs up. The response is the same if the address has an
        account. Answers 404 if customers cannot sign up.
        """
        _require_sign_up()
        values = SignUpInput.read(request)
        consume_account_mail(request, values["email"])
        signing_up.request(values["email"], now=timezone.now())
        return Response(status=status.HTTP_202_ACCEPTED)


class SignUpConfirmView(ShopView, generics.GenericAPIView[User]):
    """
    The use of that link.
    """

    serializer_class = PasswordResetConfirmInput
    permission_classes = (AllowAny,)
    error_codes = {"post": ("expired_link", "not_found", "weak_password")}

    @extend_schema(operation_id="sign_ups_confirm", responses={201: AccountOutput})
    def post(self, request: Request) -> Response:
        """
        Create an account by the token of a link, which is valid once. Its username is the address.
        """
        _require_sign_up()
        values = PasswordResetConfirmInput.read(request)
        try:
            with link_attempt(request):
                confirmation = signing_up.find(values["token"], now=timezone.now())
                user = signing_up.confirm(confirmation, values["new_password"])
        except WeakPassword as error:
            raise _weak_password(error) from error
        return Response(AccountOutput(user).data, status.HTTP_201_CREATED)


class TokenViewSet(ShopView, mixins.ListModelMixin, viewsets.GenericViewSet[Token]):
    """
    Your tokens. A program with one of them has your permissions.
    """

    serializer_class = TokenOutput
    error_codes = {"create": ("invalid_credentials", "limit_reached")}
    is_deleted_from_list = True

    def get_queryset(self) -> QuerySet[Token]:
        tokens: QuerySet[Token] = Token.objects.usable(timezone.now())
        return tokens.filter(user=self.request.user.pk)

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return TokenInput if self.action == "create" else TokenOutput

    def get_authenticators(self) -> list[BaseAuthentication]:
        """
        Ignore a token where one is issued: some programs send an expired one with every request.
        """
        if self.request is None or self.operation != "create":
            return super().get_authenticators()
        return [] if "HTTP_AUTHORIZATION" in self.request.META else [BySession()]

    def get_authenticate_header(self, request: Request) -> str:
        return str(TokenAuthentication().authenticate_header(request))

    def get_permissions(self) -> Sequence[Any]:
        return [AllowAny()] if self.action == "create" else super().get_permissions()

    @extend_schema(responses={201: NewTokenOutput})
    def create(self, request: Request) -> Response:
        """
        Exchange a username and a password for a token, to be sent as `Authorization: Token …`.
        """
        values = TokenInput.read(request)
        user = authenticate(request._request, username=values["username"], password=values["password"])  # noqa: SLF001
        if user is None:
            raise AuthenticationFailed(gettext("The username or the password is wrong."), code="invalid_credentials")
        lifetime = timedelta(days=values["expires_in_days"])
        try:
            token, text = services.issue_token(user=user, name=values["name"], expires_in=lifetime, now=timezone.now())
        except services.LimitReached as error:
            raise Conflict(str(error), code="limit_reached") from error
        return Response(TokenOutput(token).data | {"token": text}, status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """
        Revoke a token. It is invalid at once.
        """
        services.revoke_token(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


class SigningKeyViewSet(ShopView, mixins.ListModelMixin, viewsets.GenericViewSet[SigningKey]):
    """
    Your signing keys. A signature by one of them proves that a request is yours and unchanged, even if a token leaks.
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
        Create a signing key. For `ed25519` send your public key; for `hmac-sha256` the response has the secret, once.
        """
        values = SigningKeyInput.read(request)
        try:
            key, secret = services.create_key(owner=user_of(request), now=timezone.now(), **values)
        except services.InvalidPublicKey as error:
            raise _invalid_public_key(error) from error
        except services.LimitReached as error:
            raise Conflict(str(error), code="limit_reached") from error
        return Response(SigningKeyOutput(key).data | {"secret": secret}, status.HTTP_201_CREATED)

    @extend_schema(responses={201: NewSigningKeyOutput})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """
        Replace a signing key by a new one. The old one stays valid for a grace period.
        """
        values = PublicKeyInput.check(request.data)
        try:
            key, secret = services.rotate_key(self.get_object(), now=timezone.now(), **values)
        except services.InvalidPublicKey as error:
            raise _invalid_public_key(error) from error
        except services.AlreadyRotated as error:
            raise Conflict(str(error), code="invalid_state") from error
        return Response(SigningKeyOutput(key).data | {"secret": secret}, status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """
        Revoke a signing key. It is invalid at once, also within its grace period.
        """
        services.revoke_key(self.get_object(), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _require_sign_up() -> None:
    if not settings.ACCOUNTS.sign_up:
        raise NotFound


def _weak_password(error: WeakPassword) -> ValidationError:
    return ValidationError({"new_password": [ErrorDetail(text, code="weak_password") for text in error.messages]})


def _invalid_public_key(error: services.InvalidPublicKey) -> ValidationError:
    return ValidationError({"public_key": [ErrorDetail(str(error), code="invalid_public_key")]})
