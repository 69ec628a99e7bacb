"""
The orders of the customer who asks.
"""

import re
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.outbox import tracing

from . import services
from .drafts import Draft, DraftLine
from .models import HistoryEntry, Order, OrderLine

IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)


class WholeNumber(serializers.IntegerField):
    """
    An integer as JSON writes it: neither a text nor 1.0, which a reader may take for something else.
    """

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class Text(serializers.CharField):
    """
    A text that is one in JSON, taken as it is: neither a number nor trimmed.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class LineInput(serializers.Serializer[Any]):
    sku = Text()
    quantity = WholeNumber()


class OrderInput(serializers.Serializer[Any]):
    lines = LineInput(many=True)
    payment_method = Text(max_length=64, help_text="A token of the payment gateway.")
    expected_total = WholeNumber(min_value=0, help_text="What you saw it cost, in minor units.")
    email = serializers.EmailField(
        required=False,
        allow_blank=True,
        max_length=254,
        help_text="Where to write to; your account's address otherwise.",
    )


class LineOutput(serializers.ModelSerializer[OrderLine]):
    class Meta:
        model = OrderLine
        fields = ("sku", "name", "quantity", "unit_price")


class HistoryOutput(serializers.ModelSerializer[HistoryEntry]):
    class Meta:
        model = HistoryEntry
        fields = ("status", "at")


class OrderOutput(serializers.ModelSerializer[Order]):
    url = serializers.HyperlinkedIdentityField(view_name="orders:order-detail")
    lines = LineOutput(many=True)
    history = HistoryOutput(many=True)

    class Meta:
        model = Order
        fields = (
            "url",
            "id",
            "status",
            "cancel_reason",
            "currency",
            "total",
            "refunded",
            "placed_at",
            "lines",
            "history",
        )


class NewestFirst(CursorPagination):
    """
    Pages that need no count of all orders, and stay put while new ones come in.
    """

    ordering = "-id"

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        if cursor and cursor.position is not None:
            try:
                UUID(cursor.position)
            except ValueError:
                raise NotFound(self.invalid_cursor_message) from None
        return cursor


class OrderViewSet(mixins.RetrieveModelMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Order]):
    serializer_class = OrderOutput
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Order]:
        lines, history = OrderLine.objects.order_by("id"), HistoryEntry.objects.order_by("id")
        mine = Order.objects.filter(customer=self.request.user.pk)
        return mine.prefetch_related(Prefetch("lines", lines), Prefetch("history", history))

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return OrderInput if self.action == "create" else self.serializer_class

    def create(self, request: Request) -> Response:
        """
        Place an order. It is taken when you get a 201; look at it again to see it become confirmed or cancelled.
        """
        wanted = OrderInput(data=request.data)
        wanted.is_valid(raise_exception=True)
        try:
            with tracing(request.headers.get("traceparent", "")):
                placement = services.place_order(_draft(request, wanted.validated_data), now=timezone.now())
        except services.InvalidOrder as error:
            return _refusal(error)
        except services.IdempotencyKeyReused as error:
            return Response({"detail": str(error)}, status.HTTP_422_UNPROCESSABLE_ENTITY)
        created = status.HTTP_201_CREATED if placement.is_new else status.HTTP_200_OK
        return Response(self._shown(self.get_queryset().get(pk=placement.order.pk)), created)

    @action(detail=True, methods=["post"], serializer_class=serializers.Serializer)
    def cancel(self, request: Request, pk: str) -> Response:
        """
        Cancel an order that is not final yet. What was paid comes back by itself.
        """
        order = self.get_object()
        try:
            services.cancel_order(str(order.pk), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
        except services.CannotCancel as error:
            return Response({"detail": str(error)}, status.HTTP_409_CONFLICT)
        return Response(self._shown(self.get_object()))

    def _shown(self, order: Order) -> dict[str, Any]:
        return OrderOutput(order, context=self.get_serializer_context()).data


def _draft(request: Request, wanted: dict[str, Any]) -> Draft:
    return Draft(
        customer_id=request.user.pk,
        lines=[DraftLine(**line) for line in wanted["lines"]],
        payment_method=wanted["payment_method"],
        email=wanted.get("email") or request.user.email,
        idempotency_key=_idempotency_key(request),
        expected_total=wanted["expected_total"],
    )


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise serializers.ValidationError({"Idempotency-Key": ["Send 1 to 255 visible ASCII characters, or no key."]})
    return key or ""


def _refusal(error: services.InvalidOrder) -> Response:
    changed = any(problem.code == "price_changed" for problem in error.problems)
    answer = status.HTTP_409_CONFLICT if changed else status.HTTP_400_BAD_REQUEST
    problems = [{"code": found.code, "field": found.field, "detail": found.detail} for found in error.problems]
    return Response({"detail": str(error), "problems": problems}, answer)
