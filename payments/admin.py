"""
Payments and refunds to look at, and money to give back. Their states move by services only.
"""

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.utils import timezone

from messaging.admin import ReadOnly, WholeValueSearch, amount, link_to_rows, moment
from messaging.money import money

from . import refunds
from .models import PaymentIntent, Refund

GIVEN_BACK = amount("amount", lambda refund: refund.intent.currency)


class RefundInline(ReadOnly, admin.TabularInline):
    model = Refund
    ordering = ("id",)
    fields = ("status", GIVEN_BACK, "reason", "requested_at", "settled_at", "provider_reference")
    readonly_fields = (GIVEN_BACK,)


ASKED_FOR = amount("amount", lambda intent: intent.currency)


@admin.register(PaymentIntent)
class PaymentIntentAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "status", ASKED_FOR, moment("created_at"), "order", "payment_method", moment("withdrawn_at"))
    list_filter = ("status",)
    date_hierarchy = "created_at"
    ordering = ("-id",)
    search_fields = ("id", "order_id", "customer_id", "provider_reference", "email")
    search_help_text = "The whole id of a payment, order or customer, the gateway's reference or an e-mail address."
    show_full_result_count = False
    exclude = ("order_id", "amount", "currency")
    readonly_fields = ("order", ASKED_FOR)
    inlines = (RefundInline,)
    actions = ("refund_rest",)

    @admin.display(ordering="order_id")
    def order(self, intent: PaymentIntent) -> str:
        return link_to_rows("orders_order", intent.order_id)

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("payments.add_refund")

    @admin.action(description="Refund what is left of payments", permissions=["refund"])
    def refund_rest(self, request: HttpRequest, chosen: QuerySet[PaymentIntent]) -> None:
        refunded = sum([self._refund_rest(request, intent) for intent in chosen.order_by("order_id")])
        if refunded:
            self.message_user(request, f"Requested {refunded} refund{pluralize(refunded)}.")

    def _refund_rest(self, request: HttpRequest, intent: PaymentIntent) -> bool:
        try:
            with transaction.atomic():
                # The customer reads the reason; which operator it was stands in the log of the admin.
                refund = refunds.refund(str(intent.order_id), reason="by the shop", now=timezone.now())
                self.log_change(request, intent, f"Refunded {money(refund.amount, intent.currency)}.")
        except refunds.RefundExceedsCapture as refusal:
            self.message_user(request, f"{intent}: {refusal}", messages.WARNING)
            return False
        return True


@admin.register(Refund)
class RefundAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "status", GIVEN_BACK, "reason", moment("requested_at"), moment("settled_at"), "intent")
    list_filter = ("status",)
    list_select_related = ("intent",)
    date_hierarchy = "requested_at"
    ordering = ("-id",)
    search_fields = ("id", "intent__order_id", "provider_reference")
    search_help_text = "The whole id of a refund or an order, or the gateway's reference."
    exclude = ("amount",)
    readonly_fields = (GIVEN_BACK,)
    show_full_result_count = False
