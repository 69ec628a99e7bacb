"""
The orders of the customer who asks.
"""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from messaging.outbox import tracing

from . import services
from .models import HistoryEntry, Order, OrderLine


class LineInput(serializers.Serializer[Any]):
    sku = serializers.CharField()
    quantity = serializers.IntegerField()


class OrderInput(serializers.Serializer[Any]):
    lines = LineInput(many=True)
    payment_method = serializers.CharField(max_length=64, help_text="A token of the payment gateway.")
    expected_total = serializers.IntegerField(min_value=0, help_text="What you saw it cost, in minor units.")
    email = serializers.EmailField(required=False, help_text="Where to write to; your account's address otherwise.")


class LineOutput(serializers.ModelSerializer[OrderLine]):
    class Meta:
        model = OrderLine
        fields = ("sku", "name", "quantity", "unit_price")


class HistoryOutput(serializers.ModelSerializer[HistoryEntry]):
    class Meta:
        model = HistoryEntry
        fields = ("status", "at")


class OrderOutput(serializers.ModelSerializer[Order]):
    lines = LineOutput(many=True)
    history = HistoryOutput(many=True)

    class Meta:
        model = Order
        fields = ("id", "status", "cancel_reason", "currency", "total", "refunded", "placed_at", "lines", "history")


class OrderViewSet(mixins.RetrieveModelMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Order]):
    serializer_class = OrderOutput

    def get_queryset(self) -> QuerySet[Order]:
        return Order.objects.filter(customer=self.request.user.pk).order_by("-id").prefetch_related("lines", "history")

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return OrderInput if self.action == "create" else OrderOutput

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
        return Response(OrderOutput(placement.order).data, created)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """
        Cancel an order that is not final yet. What was paid comes back by itself.
        """
        order = self.get_object()
        try:
            services.cancel_order(str(order.pk), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())
        except services.CannotCancel as error:
            return Response({"detail": str(error)}, status.HTTP_409_CONFLICT)
        return Response(OrderOutput(self.get_object()).data)


def _draft(request: Request, wanted: dict[str, Any]) -> services.Draft:
    return services.Draft(
        customer_id=request.user.pk,
        lines=[services.DraftLine(**line) for line in wanted["lines"]],
        payment_method=wanted["payment_method"],
        email=wanted.get("email") or request.user.email,
        idempotency_key=request.headers.get("Idempotency-Key", ""),
        expected_total=wanted["expected_total"],
    )


def _refusal(error: services.InvalidOrder) -> Response:
    changed = any(problem.code == "price_changed" for problem in error.problems)
    answer = status.HTTP_409_CONFLICT if changed else status.HTTP_400_BAD_REQUEST
    problems = [{"code": found.code, "field": found.field, "detail": found.detail} for found in error.problems]
    return Response({"detail": str(error), "problems": problems}, answer)
