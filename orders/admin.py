"""
Admin of products and orders. Orders are read-only; what operators may do with one leads to a page of confirmation.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from messaging.kernel.actions import asks_first, counted
from messaging.kernel.admin import ChoiceFilter, OrderNumberSearch, ReadOnly, amount, moment
from messaging.kernel.csv_export import CsvExport
from messaging.kernel.ids import lowest_id
from messaging.kernel.money import major_units, minor_units
from messaging.kernel.order_numbers import mistake_in
from shop.http import order_panels
from shop.http.links import link_to
from shop.http.order_panels import NotPossible, OrderAction

from . import services
from .drafts import MAX_AMOUNT, SKU
from .erasure import WHY
from .finding import MOST_FOUND, find_orders
from .models import HistoryEntry, Order, OrderLine, Product


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


EXPORTED: Mapping[str, Callable[[Order], object]] = {
    "number": lambda order: order.number,
    "id": lambda order: order.pk,
    "placed_at": lambda order: order.placed_at,
    "status": lambda order: order.status,
    "cancel_reason": lambda order: order.cancel_reason,
    "customer": lambda order: order.customer,
    "email": lambda order: order.email,
    "phone": lambda order: order.phone,
    "currency": lambda order: order.currency,
    "total": lambda order: major_units(order.total, order.currency),
    "refunded": lambda order: major_units(order.refunded, order.currency),
}


def _link(name: str) -> Callable[[Order], str]:
    @admin.display(description=name)
    def link(order: Order) -> str:
        return link_to(f"admin: {name}", order.pk)

    return link


LINKS = tuple(_link(name) for name in ("payment", "reservation", "notifications", "messages", "deliveries"))


class PlacedFilter(admin.SimpleListFilter):
    """
    Filter by the days since an order was placed, which no index has: an order's id, which begins with the time, is
    hardly older than that.
    """

    title, parameter_name = "placed", "placed_days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "In 24 hours"), ("7", "In 7 days"), ("30", "In 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        days = self.value()
        if days not in dict(self.lookup_choices):
            return queryset
        since = timezone.now() - timedelta(days=int(days))
        return queryset.filter(placed_at__gte=since, pk__gte=lowest_id(since - timedelta(minutes=1)))


@admin.register(Order)
class OrderAdmin(CsvExport, ReadOnly, admin.ModelAdmin):
    list_display = ("number", "status", "cancel_reason", TOTAL, PLACED, "customer", REFUNDED)
    list_filter = (PlacedFilter, "status", "cancel_reason")
    ordering = ("-id",)
    search_fields = ("number",)  # of what else, `orders.finding` decides
    search_help_text = (
        "A number, the beginning of an e-mail address or an id, a phone number, an idempotency key, a username, a sku,"
        " or a reference of the payment provider."
    )
    show_full_result_count = False
    fields: tuple[Any, ...] = ("id", *LINKS, "payment_method", "idempotency_key", "fingerprint")
    readonly_fields: tuple[Any, ...] = ("id", *LINKS)
    actions = ("cancel",)
    exported = EXPORTED

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        if not search_term.strip():
            return queryset, False
        found = find_orders(search_term)
        if not found and (mistake := mistake_in(search_term)):
            self.message_user(request, mistake, messages.WARNING)
        if len(found) == MOST_FOUND:
            text = f"More orders may match: {MOST_FOUND:,} of them are shown. Type more of what you search for."
            self.message_user(request, text, messages.WARNING)
        return queryset.filter(pk__any=found), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        return super().get_queryset(request).select_related("customer")

    def get_urls(self) -> list[URLPattern]:
        act = self.admin_site.admin_view(self.act)
        return [path("<path:object_id>/do/<name>/", act, name="orders_order_do"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """
        Render the page of an order: its lines, what the contexts know of it, and what this operator may do.
        """
        order, may = context["original"], request.user.has_perm
        parts = order_panels.parts_of(order.pk, may=may)
        context |= {
            "title": f"Order {order}",
            "subtitle": None,
            "lines": list(order.lines.order_by("id")),
            "panels": [panel for part in parts for panel in part.panels],
            "timeline": order_panels.timeline_of(parts),
            "possible": order_panels.actions_of(parts, may=may),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def act(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """
        Ask for confirmation of an action, or perform it, log it and return to the page of the order.
        """
        order = self.get_object(request, unquote(object_id))
        action = order_panels.action_named(name)
        if not self.has_view_permission(request, order) or (action and not request.user.has_perm(action.permission)):
            raise PermissionDenied
        if not order or not action:
            raise Http404
        form = action(order.pk, request.POST if request.method == "POST" else None)
        refusal, consequences = "", []
        try:
            consequences = list(form.consequences())
            if form.is_valid() and self._perform(request, order, form):
                return redirect("admin:orders_order_change", order.pk)
        except NotPossible as error:
            refusal = str(error)
        context = {"form": form, "order": order, "refusal": refusal, "consequences": consequences}
        context |= {**self.admin_site.each_context(request), "opts": self.opts, "title": f"{form.label}: {order}"}
        return TemplateResponse(request, "admin/orders/order/confirm.html", context)

    def _perform(self, request: HttpRequest, order: Order, form: OrderAction) -> bool:
        """
        Perform an action, log who did and why, and return whether it was performed; otherwise the form has errors.
        """
        try:
            with transaction.atomic() if form.is_transactional else nullcontext():
                done = form.perform(by=request.user.get_username(), now=timezone.now())
                reason = form.why()
                self.log_change(request, order, f"{done}{WHY}{reason}" if reason else done)
        except forms.ValidationError as error:
            form.add_error(None, error)
            return False
        self.message_user(request, f"{order}: {done}")
        return True

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("orders.change_order")

    def _consequences(self, request: HttpRequest, chosen: QuerySet[Order]) -> Sequence[str]:
        return [
            f"The chosen orders end as cancelled: {counted(chosen)}. That cannot be undone.",
            "Those that are confirmed or have ended stay as they are.",
            "Their stock becomes available again, their payments are withdrawn, and money that was captured goes back.",
            "Their customers get a mail about it.",
        ]

    @admin.action(description="Cancel orders", permissions=["cancel"])
    @asks_first(_consequences)
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


class StatusFilter(ChoiceFilter):
    title = parameter_name = field = "status"

    @staticmethod
    def names() -> Iterable[str]:
        return Order.Status.values


@admin.register(HistoryEntry)
class HistoryEntryAdmin(OrderNumberSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("order", "status", AT, "previous")
    list_filter = (StatusFilter,)
    list_select_related = ("order",)
    date_hierarchy = "at"
    ordering = ("-id",)
    search_fields = ("order__number", "order__id")
    search_help_text = "The whole number or id of an order."
    show_full_result_count = False
