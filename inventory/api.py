"""
The stock, for staff who may view it.
"""

from typing import Any

from django.db.models import F, Q, QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers, viewsets
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from shop.http.views import ShopView

from .models import StockItem, StockMovement


class MayViewStock(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user.is_staff and request.user.has_perm("inventory.view_stockitem")


class MovementOutput(serializers.ModelSerializer[StockMovement]):
    class Meta:
        model = StockMovement
        fields = ("kind", "quantity", "order_id", "at")


class StockOutput(serializers.ModelSerializer[StockItem]):
    url = serializers.HyperlinkedIdentityField(view_name="inventory:stock-detail", lookup_field="sku")

    class Meta:
        model = StockItem
        fields: tuple[str, ...] = ("url", "sku", "on_hand", "reserved", "available")


class StockDetailOutput(StockOutput):
    latest_movements = MovementOutput(many=True, read_only=True)

    class Meta(StockOutput.Meta):
        fields = (*StockOutput.Meta.fields, "latest_movements")


class StockFilter(filters.FilterSet):
    sku_prefix = filters.CharFilter(field_name="sku", lookup_expr="istartswith", label="Sku starts with")
    sold_out = filters.ChoiceFilter(choices=[("true", "Yes"), ("false", "No")], method="filter_sold_out")

    def filter_sold_out(self, items: QuerySet[StockItem], name: str, value: str) -> QuerySet[StockItem]:
        is_sold_out = Q(on_hand=F("reserved"))
        return items.filter(is_sold_out if value == "true" else ~is_sold_out)


class StockViewSet(ShopView, viewsets.ReadOnlyModelViewSet[StockItem]):
    """
    Stock on hand, and how much of it is reserved for orders that are not confirmed yet.
    """

    permission_classes = (MayViewStock,)
    queryset = StockItem.objects.all()
    filterset_class = StockFilter
    ordering = "sku"
    lookup_field = "sku"
    lookup_value_regex = r"[\w.-]+"

    def get_serializer_class(self) -> type[StockOutput]:
        return StockOutput if self.action == "list" else StockDetailOutput
