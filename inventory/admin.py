"""
Admin of stock. Counters change only by the actions receive and withdraw; the ledger lists every movement.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.utils import timezone

from messaging.kernel.admin import ReadOnly, RecentFilter, RowsToRead, WholeValueSearch, moment

from . import services
from .models import RUNNING_OUT, Reservation, ReservationLine, StockItem, StockItemQuerySet, StockMovement

Move = Callable[[Mapping[str, int], datetime], None]


class QuantityForm(ActionForm):
    # Validated by the action: Django would show the form's errors as "No action selected".
    quantity = forms.Field(required=False, widget=forms.NumberInput(attrs={"min": 1}))


class AvailabilityFilter(admin.SimpleListFilter):
    title = "what is left"
    parameter_name = "available"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("none", "sold out"), ("ending", f"at most {RUNNING_OUT}, about to run out")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        items = cast("StockItemQuerySet", queryset)
        match self.value():
            case "none":
                return items.sold_out()
            case "ending":
                return items.running_out()
        return queryset


@admin.register(StockItem)
class StockItemAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("sku", "on_hand", "reserved", "available")
    list_filter = (AvailabilityFilter,)
    search_fields = ("sku",)
    ordering = ("sku",)
    show_full_result_count = False
    action_form = QuantityForm
    actions = ("receive", "withdraw")

    def has_move_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("inventory.change_stockitem")

    @admin.action(description="Receive the quantity of each", permissions=["move"])
    def receive(self, request: HttpRequest, chosen: QuerySet[StockItem]) -> None:
        self._move(request, chosen, "Received", lambda quantities, now: services.receive(quantities, now=now))

    @admin.action(description="Withdraw the quantity of each", permissions=["move"])
    def withdraw(self, request: HttpRequest, chosen: QuerySet[StockItem]) -> None:
        self._move(request, chosen, "Withdrew", lambda quantities, now: services.withdraw(quantities, now=now))

    def _move(self, request: HttpRequest, chosen: QuerySet[StockItem], done: str, move: Move) -> None:
        """
        Move the submitted quantity of each chosen item, and log the operator.
        """
        items = list(chosen)
        try:
            quantity = forms.IntegerField(min_value=1, max_value=1_000_000).clean(request.POST.get("quantity"))
            with transaction.atomic():
                move({item.sku: quantity for item in items}, timezone.now())
                LogEntry.objects.log_actions(str(request.user.pk), items, CHANGE, f"{done} {quantity}.")
        except forms.ValidationError as problem:
            self.message_user(request, f"Quantity: {' '.join(problem.messages)}", messages.ERROR)
        except services.NotEnoughStock as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            self.message_user(request, f"{done} {quantity} of each of {len(items)} stock item{pluralize(len(items))}.")


class ReservationLineInline(RowsToRead):
    model = ReservationLine
    ordering = ("sku",)


@admin.register(Reservation)
class ReservationAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("order_id", "status", moment("created_at"), moment("ended_at"))
    list_filter = ("status", RecentFilter)
    date_hierarchy = "created_at"
    ordering = ("-id",)
    search_fields = ("order_id",)
    search_help_text = "The whole id of an order."
    show_full_result_count = False
    inlines = (ReservationLineInline,)


@admin.register(ReservationLine)
class ReservationLineAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("reservation", "sku", "quantity")
    list_select_related = ("reservation",)
    ordering = ("-id",)
    search_fields = ("reservation__order_id",)
    search_help_text = "The whole id of an order."
    show_full_result_count = False


@admin.register(StockMovement)
class StockMovementAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = (moment("at"), "sku", "kind", "quantity", "order_id")
    list_filter = ("kind",)
    date_hierarchy = "at"
    ordering = ("-id",)
    search_fields = ("sku", "order_id")
    partly_indexed: ClassVar = {"order_id": Q(kind=StockMovement.MovementKind.SHIPPED)}
    search_help_text = "A whole sku, or the whole id of an order."
    show_full_result_count = False
