"""
The payments of the customer who asks, and what of them went back. And where the gateway calls back.
"""

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status, viewsets
from rest_framework.exceptions import APIException, AuthenticationFailed, ParseError, UnsupportedMediaType
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .gateway import protocol
from .models import PaymentIntent, Refund
from .webhooks import inbox

MAX_WEBHOOK_BYTES = 20_000


class EventIdConflict(APIException):
    """
    The id of a webhook stands for something else already.
    """

    status_code = status.HTTP_409_CONFLICT
    default_code = "event_id_conflict"


class WebhookTooLarge(APIException):
    """
    No webhook is that large.
    """

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"
    default_detail = f"A webhook has at most {MAX_WEBHOOK_BYTES} bytes."


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
    def get_refunds(self, intent: PaymentIntent) -> list[dict[str, object]]:
        refunds = [refund for capture in intent.captures.all() for refund in capture.refunds.all()]
        return RefundOutput(sorted(refunds, key=lambda refund: refund.pk), many=True).data


class PaymentViewSet(viewsets.ReadOnlyModelViewSet[PaymentIntent]):
    """
    Your payments, one for each order whose stock was there. Amounts are in minor units, such as pence.
    """

    serializer_class = PaymentOutput
    filterset_fields = ("order_id", "status")
    pages = {"list": "payments/payments.html"}

    def get_queryset(self) -> QuerySet[PaymentIntent]:
        mine = PaymentIntent.objects.filter(customer_id=str(self.request.user.pk))
        return mine.prefetch_related(Prefetch("captures__refunds", Refund.objects.select_related("capture")))


class WebhookOutput(serializers.Serializer[None]):
    received = serializers.BooleanField()


class Webhook(APIView):
    """
    Where the payment gateway calls back, signed as Standard Webhooks wants it, or as its own adapter does.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    headers_used = {"post": ("webhook-id", "webhook-timestamp", "webhook-signature")}
    problems = {
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
        Take a webhook. It is stored when you get a 200, and what it means is found out afterwards; repeat it otherwise.
        """
        body = _raw_json(request._request)  # noqa: SLF001  (its raw bytes are what was signed)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            inbox.receive(body, headers, now=timezone.now())
        except protocol.InvalidSignature as refusal:
            raise AuthenticationFailed("Nobody whom we trust has signed this.", code="invalid_signature") from refusal
        except protocol.TimestampOutOfTolerance as refusal:
            raise AuthenticationFailed(str(refusal), code="timestamp_out_of_tolerance") from refusal
        except protocol.MalformedPayload as refusal:
            raise ParseError(str(refusal), code="malformed_event") from refusal
        except inbox.EventIdReused as refusal:
            raise EventIdConflict(str(refusal)) from refusal
        return Response({"received": True})


def _raw_json(request: HttpRequest) -> bytes:
    """
    Return a body of JSON as it came, for nobody may touch it before its signature is verified.

    :raises UnsupportedMediaType: if it is something else, or has to be unpacked or converted first.
    :raises WebhookTooLarge: if it is larger than any webhook.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaType(request.content_type)
    if request.content_params.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(request.content_type, "Only UTF-8 is read here.", code="unsupported_charset")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType(request.content_type, "Nothing is unpacked here.", code="unsupported_encoding")
    if len(request.body) > MAX_WEBHOOK_BYTES:
        raise WebhookTooLarge
    return request.body
