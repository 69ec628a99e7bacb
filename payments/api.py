"""
The payments of the authenticated customer with their refunds, and the endpoint for the gateway's webhooks.
"""

from collections.abc import Mapping

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.exceptions import AuthenticationFailed, ParseError
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from shop.http.exceptions import Conflict
from shop.http.parsers import raw_json
from shop.http.views import ShopView

from .gateway import protocol
from .models import PaymentIntent, Refund
from .webhooks import inbox

MAX_WEBHOOK_BYTES = 20_000


class RefundOutput(serializers.ModelSerializer[Refund]):
    currency = serializers.CharField(source="capture.currency")

    class Meta:
        model = Refund
        fields = ("id", "amount", "currency", "status", "reason", "requested_at", "settled_at")


class PaymentOutput(serializers.ModelSerializer[PaymentIntent]):
    url = serializers.HyperlinkedIdentityField(view_name="payments:payment-detail")
    refunds = serializers.SerializerMethodField()

    class Meta:
        model = PaymentIntent
        fields = (
            "url",
            "id",
            "order_id",
            "amount",
            "currency",
            "status",
            "failure_reason",
            "page",
            "created_at",
            "refunds",
        )

    @extend_schema_field(RefundOutput(many=True))
    def get_refunds(self, intent: PaymentIntent) -> Mapping[str, object]:
        refunds = [refund for capture in intent.captures.all() for refund in capture.refunds.all()]
        return RefundOutput(sorted(refunds, key=lambda refund: refund.pk), many=True).data


class PaymentViewSet(ShopView, viewsets.ReadOnlyModelViewSet[PaymentIntent]):
    """
    Your payments, one for each order whose stock was reserved. Amounts are in minor units, such as pence.
    """

    serializer_class = PaymentOutput
    filterset_fields = ("order_id", "status")
    pages = {"list": "payments/payments.html"}

    def get_queryset(self) -> QuerySet[PaymentIntent]:
        mine = PaymentIntent.objects.filter(customer_id=str(self.request.user.pk))
        return mine.prefetch_related(Prefetch("captures__refunds", Refund.objects.select_related("capture")))


class WebhookOutput(serializers.Serializer[None]):
    received = serializers.BooleanField()


class WebhookView(ShopView):
    """
    The endpoint for the payment gateway's webhooks, signed by Standard Webhooks or as the gateway's adapter verifies.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    headers_read = {"post": ("webhook-id", "webhook-timestamp", "webhook-signature")}
    error_codes = {
        "post": (
            "event_id_conflict",
            "invalid_signature",
            "malformed_event",
            "timestamp_out_of_tolerance",
        )
    }

    def get_authenticate_header(self, request: Request) -> str:
        return "Webhook-Signature"

    @extend_schema(request={"application/json": OpenApiTypes.OBJECT}, responses=WebhookOutput)
    def post(self, request: Request) -> Response:
        """
        Receive a webhook. Status 200 means that it is stored; it is processed later. After any other status, send it
        again.
        """
        body = raw_json(request._request, max_bytes=MAX_WEBHOOK_BYTES)  # noqa: SLF001  (the raw bytes are signed)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            inbox.receive(body, headers, now=timezone.now())
        except protocol.InvalidSignature as error:
            raise AuthenticationFailed("No webhook secret verifies the signature.", code="invalid_signature") from error
        except protocol.TimestampOutOfTolerance as error:
            raise AuthenticationFailed(str(error), code="timestamp_out_of_tolerance") from error
        except protocol.MalformedPayload as error:
            raise ParseError(str(error), code="malformed_event") from error
        except inbox.EventIdReused as error:
            raise Conflict(str(error), code="event_id_conflict") from error
        return Response({"received": True})
