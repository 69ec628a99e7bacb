"""
Admin of products and orders. Orders are read-only, except that they can be cancelled.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.utils import timezone

from messaging.kernel.admin import OrderNumberSearch, ReadOnly, amount, moment
from messaging.kernel.money import major_units, minor_units
from shop.http.links import link_to

from . import services
from .drafts import MAX_AMOUNT, SKU
from .models import HistoryEntry, Order, OrderLine, OrderRefund, Product


class PriceField(forms.DecimalField):
    """
    A price entered in major units, stored in minor units.
    """

    def __init__(self, **kwargs: Any) -> None:
        limit = major_units(MAX_AMOUNT, settings.ORDERS.currency)
        super().__init__(min_value=0, max_value=limit, help_text=f"In {settings.ORDERS.currency}.", **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return major_units(value, settings.ORDERS.currency) if isinstance(value, int) else value

    def clean(self, value: Any) -> int:
        try:
            return minor_units(super().clean(value), settings.ORDERS.currency)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class ProductForm(forms.ModelForm):
    price = PriceField()

    def clean_sku(self) -> str:
        sku: str = self.cleaned_data["sku"]
        if not SKU.fullmatch(sku):
            raise forms.ValidationError(
                "A sku consists of letters, digits, '.', '_' and '-', and starts with a letter or a digit."
            )
        return sku


PRICE = amount("price", lambda product: settings.ORDERS.currency)
UNIT_PRICE = amount("unit_price", lambda line: line.order.currency)
TOTAL = amount("total", lambda order: order.currency)
REFUNDED = amount("refunded", lambda order: order.currency)
PLACED, AT = moment("placed_at"), moment("at")


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    form = ProductForm
    list_display = ("sku", "name", PRICE, "active", "in_stock")
    list_filter = ("active", "sold_out")
    search_fields = ("sku", "name")
    ordering = ("sku",)
    show_full_result_count = False

    @admin.display(boolean=True, ordering="-sold_out")
    def in_stock(self, product: Product) -> bool:
        return not product.sold_out

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
    fields = ("sku", "name", "quantity", UNIT_PRICE)
    readonly_fields = (UNIT_PRICE,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderLine]:
        return super().get_queryset(request).select_related("order")


class HistoryEntryInline(ReadOnly, admin.TabularInline):
    model = HistoryEntry
    ordering = ("id",)
    fields = ("previous", "status", AT)
    readonly_fields = (AT,)


class OrderRefundInline(ReadOnly, admin.TabularInline):
    model = OrderRefund
    ordering = ("at",)
    fields = (amount("amount", lambda refund: refund.currency), "surplus", "cause", AT, "refund_id")
    readonly_fields = fields


def _link(name: str) -> Callable[[Order], str]:
    @admin.display(description=name)
    def link(order: Order) -> str:
        return link_to(f"admin: {name}", order.pk)

    return link


LINKS = tuple(_link(name) for name in ("payment", "reservation", "notifications", "messages", "deliveries"))


@admin.register(Order)
class OrderAdmin(OrderNumberSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("number", "status", "cancel_reason", TOTAL, PLACED, "customer", REFUNDED)
    list_filter = ("status", "cancel_reason")
    list_select_related = ("customer",)
    date_hierarchy = "placed_at"
    ordering = ("-id",)
    search_fields = ("number", "id", "email", "customer__username", "idempotency_key")
    search_help_text = "The whole number, id, e-mail address, customer's name or idempotency key."
    show_full_result_count = False
    fields: tuple[Any, ...] = (
        *("number", "id", "status", "cancel_reason", TOTAL, REFUNDED, PLACED, *LINKS),
        *("customer", "email", "phone", "language", "payment_method", "idempotency_key", "fingerprint"),
    )
    readonly_fields: tuple[Any, ...] = ("number", "id", TOTAL, REFUNDED, PLACED, *LINKS)
    inlines = (OrderLineInline, HistoryEntryInline, OrderRefundInline)
    actions = ("cancel",)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_order")

    @admin.action(description="Cancel orders", permissions=["cancel"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[Order]) -> None:
        cancelled = sum([self._cancel(request, order) for order in chosen.order_by("pk")])
        if cancelled:
            self.message_user(request, f"Cancelled {cancelled} order{pluralize(cancelled)}.")

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
class OrderLineAdmin(OrderNumberSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("order", "sku", "quantity", UNIT_PRICE, "name")
    list_select_related = ("order",)
    ordering = ("-id",)
    search_fields = ("order__number", "order__id", "sku")
    search_help_text = "The whole number or id of an order, or a whole sku."
    show_full_result_count = False


@admin.register(HistoryEntry)
class HistoryEntryAdmin(OrderNumberSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("order", "status", AT, "previous")
    list_filter = ("status",)
    list_select_related = ("order",)
    date_hierarchy = "at"
    ordering = ("-id",)
    search_fields = ("order__number", "order__id")
    search_help_text = "The whole number or id of an order."
    show_full_result_count = False
