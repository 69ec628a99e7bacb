"""
Read-only pages of payments, captures, refunds and webhooks, and the actions that refund. Only services change states.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.utils import timezone

from messaging.kernel.actions import asks_first, counted
from messaging.kernel.admin import (
    ChoiceFilter,
    OrderNumberSearch,
    ReadOnly,
    RecentFilter,
    RowsToRead,
    WholeValueSearch,
    amount,
    link_to_rows,
    moment,
)
from messaging.kernel.csv_export import CsvExport
from messaging.kernel.money import major_units, minor_units, money
from shop.http.links import link_to

from . import refunds
from .gateway.protocol import Outcome
from .models import Capture, PaymentIntent, Reconciliation, Refund, RefundQuerySet, WebhookEvent
from .panels import read_amount

REQUESTED = amount("amount", lambda intent: intent.currency)
CAPTURED, RETURNED = (amount(field, lambda capture: capture.currency) for field in ("amount", "returned"))
REFUNDED = amount("amount", lambda refund: refund.capture.currency)
CLAIMED = amount("amount", lambda webhook: webhook.currency)


REFUND_CONSEQUENCES = (
    "The payment provider sends the money back the way it was paid. That cannot be undone.",
    "The customers get a mail about it. Payments of which nothing, or less, is left stay as they are.",
)

EXPORTED_PAYMENTS: Mapping[str, Callable[[PaymentIntent], object]] = {
    "id": lambda intent: intent.pk,
    "order": lambda intent: intent.number or intent.order_id,
    "created_at": lambda intent: intent.created_at,
    "status": lambda intent: intent.status,
    "failure_reason": lambda intent: intent.failure_reason,
    "currency": lambda intent: intent.currency,
    "amount": lambda intent: major_units(intent.amount, intent.currency),
    "provider_reference": lambda intent: intent.provider_reference,
}
EXPORTED_REFUNDS: Mapping[str, Callable[[Refund], object]] = {
    "id": lambda refund: refund.pk,
    "order": lambda refund: refund.capture.intent.number or refund.capture.intent.order_id,
    "requested_at": lambda refund: refund.requested_at,
    "settled_at": lambda refund: refund.settled_at,
    "status": lambda refund: refund.status,
    "failure_reason": lambda refund: refund.failure_reason,
    "cause": lambda refund: refund.cause,
    "reason": lambda refund: refund.reason,
    "currency": lambda refund: refund.capture.currency,
    "amount": lambda refund: major_units(refund.amount, refund.capture.currency),
    "provider_reference": lambda refund: refund.provider_reference,
}


class AmountForm(ActionForm):
    # Validated by the action, because Django shows errors of this form as "No action selected".
    amount = forms.Field(required=False, widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 8}))


class CaptureInline(RowsToRead):
    model = Capture
    ordering = ("id",)
    fields = (CAPTURED, RETURNED, "surplus", moment("captured_at"), "reference")
    readonly_fields = fields


@admin.register(PaymentIntent)
class PaymentIntentAdmin(CsvExport, OrderNumberSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "status", REQUESTED, moment("created_at"), "order", "payment_method", moment("withdrawn_at"))
    list_filter = ("status", RecentFilter)
    indexed: ClassVar = {"status__exact": [PaymentIntent.Status.UNKNOWN]}
    date_hierarchy = "created_at"
    ordering = ("-id",)
    search_fields = ("id", "number", "order_id", "customer_id", "provider_reference", "email")
    unindexed = ("number", "email")
    search_help_text = (
        "The complete id of a payment, order or customer, or the gateway's reference; of recent payments also an"
        " order's number or an e-mail address."
    )
    show_full_result_count = False
    exclude = ("order_id", "amount", "currency")
    readonly_fields = ("order", REQUESTED, "refunds", "webhooks")
    inlines = (CaptureInline,)
    action_form = AmountForm
    actions = ("refund_rest", "refund_amount")
    exported = EXPORTED_PAYMENTS

    @admin.display(ordering="order_id")
    def order(self, intent: PaymentIntent) -> str:
        return link_to("admin: order", intent.order_id, intent.number)

    def refunds(self, intent: PaymentIntent) -> str:
        return link_to_rows("payments_refund", intent.order_id)

    def webhooks(self, intent: PaymentIntent) -> str:
        return link_to_rows("payments_webhookevent", intent.pk)

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("payments.add_refund")

    def _all_goes_back(self, request: HttpRequest, selected: QuerySet[PaymentIntent]) -> Sequence[str]:
        if request.POST.get("amount", "").strip():
            raise forms.ValidationError("Amount: leave it empty to refund the rest.")
        return [f"All that is left of the chosen payments is refunded: {counted(selected)}.", *REFUND_CONSEQUENCES]

    def _amount_goes_back(self, request: HttpRequest, selected: QuerySet[PaymentIntent]) -> Sequence[str]:
        text = request.POST.get("amount", "").strip()
        if not text:
            raise forms.ValidationError("Amount: enter the amount to refund of each payment.")
        return [f"{text} of each chosen payment is refunded: {counted(selected)}.", *REFUND_CONSEQUENCES]

    @admin.action(description="Refund the rest of the selected payments", permissions=["refund"])
    @asks_first(_all_goes_back)
    def refund_rest(self, request: HttpRequest, selected: QuerySet[PaymentIntent]) -> None:
        self._refund(request, selected, "")

    @admin.action(description="Refund this amount of each selected payment", permissions=["refund"])
    @asks_first(_amount_goes_back)
    def refund_amount(self, request: HttpRequest, selected: QuerySet[PaymentIntent]) -> None:
        self._refund(request, selected, request.POST.get("amount", "").strip())

    def _refund(self, request: HttpRequest, selected: QuerySet[PaymentIntent], text: str) -> None:
        refunded = sum([self._refund_one(request, intent, text) for intent in selected.order_by("order_id")])
        if refunded:
            self.message_user(request, f"Requested {refunded} refund{pluralize(refunded)}.")

    def _refund_one(self, request: HttpRequest, intent: PaymentIntent, text: str) -> int:
        """
        Refund this amount of a payment, or the rest if it is empty, log who did, and return the number of refunds.
        """
        try:
            amount = minor_units(read_amount(text), intent.currency) if text else None
            with transaction.atomic():
                # The customer reads the reason; the admin's log names the operator.
                reason, now = Refund.BY_THE_SHOP, timezone.now()
                requested = refunds.refund(str(intent.order_id), amount=amount, reason=reason, now=now)
                for refund in requested:
                    self.log_change(request, intent, f"Refunded {money(refund.amount, refund.capture.currency)}.")
        except forms.ValidationError as error:
            self.message_user(request, f"Amount: {' '.join(error.messages)}", messages.ERROR)
        except (ValueError, refunds.RefundExceedsCapture) as error:
            self.message_user(request, f"{intent}: {error}", messages.WARNING)
        else:
            return len(requested)
        return 0


@admin.register(Capture)
class CaptureAdmin(OrderNumberSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", CAPTURED, RETURNED, "surplus", moment("captured_at"), "order", "reference")
    list_filter = ("surplus", RecentFilter)
    list_select_related = ("intent",)
    date_hierarchy = "captured_at"
    ordering = ("-id",)
    search_fields = ("id", "intent__number", "intent__order_id", "reference")
    unindexed = ("intent__number",)
    search_help_text = (
        "The complete id of a capture or an order, or the gateway's reference; of recent captures also an order's"
        " number."
    )
    show_full_result_count = False
    exclude = ("amount", "returned")
    readonly_fields = (CAPTURED, RETURNED, "order")

    def order(self, capture: Capture) -> str:
        return link_to("admin: order", capture.intent.order_id, capture.intent.number)


class OutcomeFilter(ChoiceFilter):
    title = parameter_name = field = "outcome"

    @staticmethod
    def names() -> Iterable[str]:
        return [outcome.value for outcome in Outcome]


class UnrepeatedFilter(admin.SimpleListFilter):
    title = "whether the customer waits"
    parameter_name = "unrepeated"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("yes", "failed, and not repeated")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return cast("RefundQuerySet", queryset).unrepeated() if self.value() == "yes" else queryset


@admin.register(Refund)
class RefundAdmin(CsvExport, OrderNumberSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "order", "status", REFUNDED, "reason", moment("requested_at"), moment("settled_at"))
    list_filter = ("status", UnrepeatedFilter, "cause", RecentFilter)
    indexed: ClassVar = {"status__exact": [Refund.Status.FAILED], "unrepeated": ["yes"]}
    date_hierarchy = "requested_at"
    ordering = ("-id",)
    search_fields = ("id", "capture__intent__number", "capture__intent__order_id", "provider_reference")
    unindexed = ("capture__intent__number",)
    search_help_text = (
        "The complete id of a refund or an order, or the gateway's reference; of recent refunds also an order's number."
    )
    exclude = ("amount",)
    readonly_fields = ("order", REFUNDED, "payment")
    show_full_result_count = False

    exported = EXPORTED_REFUNDS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Refund]:
        # Not joined: to sort some refunds, PostgreSQL would read all captures.
        return super().get_queryset(request).prefetch_related("capture__intent")

    def order(self, refund: Refund) -> str:
        return link_to("admin: order", refund.capture.intent.order_id, refund.capture.intent.number)

    def payment(self, refund: Refund) -> str:
        return link_to_rows("payments_paymentintent", refund.capture.intent.order_id)


@admin.register(WebhookEvent)
class WebhookEventAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("event_id", "status", "outcome", CLAIMED, moment("received_at"), "conflicts", "charge_key")
    list_filter = ("status", OutcomeFilter, RecentFilter)
    indexed: ClassVar = {"status__exact": [WebhookEvent.Status.PARKED, WebhookEvent.Status.DISPUTED]}
    date_hierarchy = "received_at"
    ordering = ("-id",)
    search_fields = ("event_id", "charge_key", "order_id", "reference")
    unindexed = ("reference",)
    search_help_text = "The complete id of an event, payment or order, or the gateway's reference."
    exclude = ("amount", "body")
    readonly_fields = (CLAIMED, "raw_body")
    show_full_result_count = False

    def raw_body(self, webhook: Any) -> str:
        return bytes(webhook.body).decode("utf-8", "backslashreplace")


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("gateway", moment("began_at"), "unconfirmed")
    show_full_result_count = False
