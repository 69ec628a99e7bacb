"""
Products to offer, and orders to look at and cancel. An order's state moves by its services only.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from messaging.admin import ReadOnly, WholeValueSearch

from . import services
from .drafts import SKU
from .models import HistoryEntry, Order, OrderLine, Product


class ProductForm(forms.ModelForm):
    def clean_sku(self) -> str:
        sku = self.cleaned_data["sku"]
        if not SKU.fullmatch(sku):
            raise forms.ValidationError(
                "A sku is made of letters, digits, '.', '_' and '-', and begins with a letter or a digit."
            )
        return sku


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    form = ProductForm
    list_display = ("sku", "name", "price", "sold_out")
    list_filter = ("sold_out",)
    search_fields = ("sku", "name")
    ordering = ("sku",)
    show_full_result_count = False

    def get_readonly_fields(self, request: HttpRequest, obj: Product | None = None) -> tuple[str, ...]:
        return ("sku", "sold_out") if obj else ("sold_out",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Product, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001
        if change:
            obj.save(update_fields=form.changed_data)
        else:
            services.add_products([obj])


class OrderLineInline(ReadOnly, admin.TabularInline):
    model = OrderLine
    ordering = ("id",)


class HistoryEntryInline(ReadOnly, admin.TabularInline):
    model = HistoryEntry
    ordering = ("id",)


@admin.register(Order)
class OrderAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "customer", "status", "cancel_reason", "total", "refunded", "currency", "placed_at")
    list_filter = ("status", "cancel_reason")
    list_select_related = ("customer",)
    date_hierarchy = "placed_at"
    ordering = ("-id",)
    search_fields = ("id", "email", "customer__username", "idempotency_key")
    search_help_text = "The whole id, e-mail address, customer's name or idempotency key."
    show_full_result_count = False
    inlines = (OrderLineInline, HistoryEntryInline)
    actions = ("cancel",)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_order")

    @admin.action(description="Cancel orders", permissions=["cancel"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[Order]) -> None:
        cancelled = sum([self._cancel(request, order) for order in chosen.order_by("pk")])
        self.message_user(request, f"Cancelled {cancelled} orders.")

    def _cancel(self, request: HttpRequest, order: Order) -> bool:
        try:
            with transaction.atomic():
                services.cancel_order(str(order.pk), reason=Order.CancelReason.BY_OPERATOR, now=timezone.now())
                self.log_change(request, order, "Cancelled.")
        except services.CannotCancel as refusal:
            self.message_user(request, f"{order}: {refusal}", messages.WARNING)
            return False
        return True


@admin.register(OrderLine)
class OrderLineAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("order", "sku", "name", "quantity", "unit_price")
    list_select_related = ("order",)
    ordering = ("-id",)
    search_fields = ("order__id", "sku")
    search_help_text = "The whole id of an order, or a whole sku."
    show_full_result_count = False


@admin.register(HistoryEntry)
class HistoryEntryAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("order", "previous", "status", "at")
    list_filter = ("status",)
    list_select_related = ("order",)
    date_hierarchy = "at"
    ordering = ("-id",)
    search_fields = ("order__id",)
    search_help_text = "The whole id of an order."
    show_full_result_count = False
