"""
Notifications of the authenticated customer, which of them the customer gets, and the endpoints for the webhooks of the
providers of mail and SMS.
"""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status, viewsets
from rest_framework.exceptions import AuthenticationFailed, ErrorDetail, NotFound, ParseError, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from shop.http.parsers import refuse_encodings
from shop.http.views import ShopView, user_of

from . import preferences, receipts, reports, tracking
from .models import Notification, Preference
from .serializers import (
    NotificationFilters,
    NotificationOutput,
    PreferenceOutput,
    PreferencesInput,
    PreferencesOutput,
)
from .sms.backends.base import InvalidSignature


class NotificationViewSet(ShopView, viewsets.ReadOnlyModelViewSet[Notification]):
    """
    The notifications sent to you, with their text; on request also those on their way, but none that was not sent.
    """

    serializer_class = NotificationOutput
    filterset_class = NotificationFilters
    pages = {"list": "notifications/notifications.html"}

    def get_queryset(self) -> QuerySet[Notification]:
        told = Notification.objects.filter(customer_id=str(self.request.user.pk))
        return told.filter(status__in=Notification.SENT | Notification.UNSENT)


class PreferencesView(ShopView, generics.GenericAPIView[Preference]):
    """
    Which notifications you get over which channels.
    """

    pages = {"get": "notifications/preferences.html"}
    error_codes = dict.fromkeys(("patch", "post"), ("required_notification",))

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return PreferencesOutput if self.operation == "get" else PreferencesInput

    @extend_schema(responses=PreferencesOutput)
    def get(self, request: Request) -> Response:
        """
        Retrieve your preferences: one for each kind of notification and channel of the shop.
        """
        rows = preferences.of_customer(str(user_of(request).pk))
        return Response({"preferences": PreferenceOutput(rows, many=True).data})

    @extend_schema(responses=PreferencesOutput)
    def patch(self, request: Request) -> Response:
        """
        Change some of your preferences. The others stay.
        """
        _choose(request)
        return self.get(request)

    @extend_schema(responses=PreferencesOutput)
    def post(self, request: Request) -> Response:
        """
        Change some of your preferences, as PATCH does, which forms of pages cannot send.
        """
        _choose(request)
        if request.accepted_renderer.format == "json":
            return self.get(request)
        messages.success(request._request, gettext("Your choice is saved."))  # noqa: SLF001  (Django's own request)
        return Response(status=status.HTTP_303_SEE_OTHER, headers={"Location": request.path})


class ProviderWebhookView(ShopView):
    """
    An endpoint for what a provider reports about notifications. Status 200 means that it is recorded. The API
    description leaves it out: its format is the provider's.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)

    def head(self, request: Request) -> Response:
        return Response()  # some providers verify the URL before they use it

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        webhook = request._request  # noqa: SLF001  (what the provider signed is in Django's)
        refuse_encodings(webhook)
        reports.apply(self.read(webhook), now=timezone.now())
        return Response({"received": True})

    def read(self, webhook: HttpRequest) -> list[reports.Report]:
        """
        Return what a genuine webhook reports.

        :raises APIException: if it is rejected.
        """
        raise NotImplementedError


class EmailWebhookView(ProviderWebhookView):
    """
    The endpoint for the tracking webhooks of the mail provider.
    """

    def get_authenticate_header(self, request: Request) -> str:
        return 'Basic realm="WEBHOOK_SECRET"'  # Amazon SNS sends the secret only if asked for it

    def read(self, webhook: HttpRequest) -> list[reports.Report]:
        try:
            return tracking.read(webhook)
        except tracking.NoTracking as error:
            raise NotFound from error
        except tracking.InvalidSignature as error:
            raise AuthenticationFailed(str(error), code="invalid_signature") from error
        except tracking.MalformedWebhook as error:
            raise ParseError(str(error), code="malformed_event") from error


class SmsWebhookView(ProviderWebhookView):
    """
    The endpoint for the delivery receipts of the SMS provider.
    """

    def get_authenticate_header(self, request: Request) -> str:
        return "Webhook-Signature"

    def read(self, webhook: HttpRequest) -> list[reports.Report]:
        try:
            return receipts.read(webhook)
        except receipts.NoReceipts as error:
            raise NotFound from error
        except InvalidSignature as error:
            raise AuthenticationFailed(str(error), code="invalid_signature") from error


def _choose(request: Request) -> None:
    """
    Store what the customer chose, by JSON or by the form of the page.

    :raises ValidationError: if the request is invalid, or switches off what is required.
    """
    form = request.data
    values = _values_of_form(form) if isinstance(form, QueryDict) else PreferencesInput.read(request)
    rows = values.get("preferences", [])
    choices = {(row["kind"], row["channel"]): row["is_on"] for row in rows}
    if len(choices) < len(rows):
        raise _invalid(gettext("Send each kind and channel once."))
    if not {channel for _, channel in choices} <= set(preferences.offered_channels()):
        raise _invalid(gettext("The shop sends no SMS."))
    try:
        preferences.choose(str(user_of(request).pk), choices)
    except preferences.RequiredNotification as error:
        index = list(choices).index((error.kind, error.channel))
        text = gettext("The shop has to send this notification.")
        detail = ErrorDetail(text, code="required_notification")
        raise ValidationError({"preferences": {str(index): {"is_on": [detail]}}}) from error


def _values_of_form(form: QueryDict) -> dict[str, Any]:
    """
    Return the preferences that a form showed: those that it does not name as on are off.
    """
    on = set(form.getlist("on"))
    names = [(name, *name.split(" ", 1), "")[:3] for name in form.getlist("shown")]
    rows = [{"kind": kind, "channel": channel, "is_on": name in on} for name, kind, channel in names]
    return PreferencesInput.check({"preferences": rows})


def _invalid(text: str) -> ValidationError:
    return ValidationError({"preferences": [ErrorDetail(text, code="invalid_preferences")]})
