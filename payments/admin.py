"""
Payments, captures, refunds and webhooks to look at, and money to give back. Their states move by services only.
"""

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.utils import timezone

from messaging.kernel.admin import ReadOnly, WholeValueSearch, amount, link_to_rows, moment
from messaging.kernel.money import minor_units, money
from shop.http.links import link_to

from . import refunds
from .models import Capture, PaymentIntent, Refund, WebhookEvent

AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,4})?", re.ASCII)

ASKED_FOR = amount("amount", lambda intent: intent.currency)
CAPTURED, RETURNED = (amount(field, lambda capture: capture.currency) for field in ("amount", "returned"))
GIVEN_BACK = amount("amount", lambda refund: refund.capture.currency)
CLAIMED = amount("amount", lambda webhook: webhook.currency)


class AmountForm(ActionForm):
    # Checked by the action: the form's own errors would only be shown as "No action selected".
    amount = forms.Field(required=False, widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 8}))


class CaptureInline(ReadOnly, admin.TabularInline):
    model = Capture
    ordering = ("id",)
    fields = (CAPTURED, RETURNED, "surplus", moment("captured_at"), "reference")
    readonly_fields = fields


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
    readonly_fields = ("order", ASKED_FOR, "refunds", "webhooks")
    inlines = (CaptureInline,)
    action_form = AmountForm
    actions = ("refund_rest", "refund_amount")

    @admin.display(ordering="order_id")
    def order(self, intent: PaymentIntent) -> str:
        return link_to("admin: order", intent.order_id)

    def refunds(self, intent: PaymentIntent) -> str:
        return link_to_rows("payments_refund", intent.order_id)

    def webhooks(self, intent: PaymentIntent) -> str:
        return link_to_rows("payments_webhookevent", intent.pk)

    def has_refund_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("payments.add_refund")

    @admin.action(description="Refund what is left of payments", permissions=["refund"])
    def refund_rest(self, request: HttpRequest, chosen: QuerySet[PaymentIntent]) -> None:
        if request.POST.get("amount", "").strip():
            self.message_user(request, "Amount: leave it empty to refund all that is left.", messages.ERROR)
        else:
            self._refund(request, chosen, "")

    @admin.action(description="Refund the amount of each", permissions=["refund"])
    def refund_amount(self, request: HttpRequest, chosen: QuerySet[PaymentIntent]) -> None:
        wanted = request.POST.get("amount", "").strip()
        if wanted:
            self._refund(request, chosen, wanted)
        else:
            self.message_user(request, "Amount: say how much of each is to be refunded.", messages.ERROR)

    def _refund(self, request: HttpRequest, chosen: QuerySet[PaymentIntent], wanted: str) -> None:
        refunded = sum([self._refund_one(request, intent, wanted) for intent in chosen.order_by("order_id")])
        if refunded:
            self.message_user(request, f"Requested {refunded} refund{pluralize(refunded)}.")

    def _refund_one(self, request: HttpRequest, intent: PaymentIntent, wanted: str) -> int:
        """
        Refund so much of a payment, or all that is left, record who did, and return how many refunds that takes.
        """
        try:
            part = minor_units(read_amount(wanted), intent.currency) if wanted else None
            with transaction.atomic():
                # The customer reads the reason; which operator it was stands in the log of the admin.
                requested = refunds.refund(str(intent.order_id), amount=part, reason="by the shop", now=timezone.now())
                for refund in requested:
                    self.log_change(request, intent, f"Refunded {money(refund.amount, refund.capture.currency)}.")
        except forms.ValidationError as problem:
            self.message_user(request, f"Amount: {' '.join(problem.messages)}", messages.ERROR)
        except (ValueError, refunds.RefundExceedsCapture) as refusal:
            self.message_user(request, f"{intent}: {refusal}", messages.WARNING)
        else:
            return len(requested)
        return 0


def read_amount(text: str) -> Decimal:
    """
    Read an amount as people write it, such as 12.50.

    :raises ValidationError: if it is none, or could be meant otherwise.
    """
    if not AMOUNT.fullmatch(text):
        raise forms.ValidationError("write it like 12.50, without a currency and without separators of thousands.")
    return Decimal(text)


@admin.register(Capture)
class CaptureAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", CAPTURED, RETURNED, "surplus", moment("captured_at"), "order", "reference")
    list_filter = ("surplus",)
    list_select_related = ("intent",)
    date_hierarchy = "captured_at"
    ordering = ("-id",)
    search_fields = ("id", "intent__order_id", "reference")
    search_help_text = "The whole id of a capture or an order, or the gateway's reference."
    show_full_result_count = False
    exclude = ("amount", "returned")
    readonly_fields = (CAPTURED, RETURNED, "order")

    @admin.display(ordering="intent__order_id")
    def order(self, capture: Capture) -> str:
        return link_to("admin: order", capture.intent.order_id)


@admin.register(Refund)
class RefundAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "status", GIVEN_BACK, "reason", moment("requested_at"), moment("settled_at"), "payment")
    list_filter = ("status", "reason")
    list_select_related = ("capture__intent",)
    date_hierarchy = "requested_at"
    ordering = ("-id",)
    search_fields = ("id", "capture__intent__order_id", "provider_reference")
    search_help_text = "The whole id of a refund or an order, or the gateway's reference."
    exclude = ("amount",)
    readonly_fields = (GIVEN_BACK, "payment")
    show_full_result_count = False

    def payment(self, refund: Refund) -> str:
        return link_to_rows("payments_paymentintent", refund.capture.intent.order_id)


@admin.register(WebhookEvent)
class WebhookEventAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("event_id", "status", "outcome", CLAIMED, moment("received_at"), "conflicts", "charge_key")
    list_filter = ("status", "outcome")
    date_hierarchy = "received_at"
    ordering = ("-id",)
    search_fields = ("event_id", "charge_key", "order_id", "reference")
    search_help_text = "The whole id of an event, payment or order, or the gateway's reference."
    exclude = ("amount", "body")
    readonly_fields = (CLAIMED, "as_it_came")
    show_full_result_count = False

    def as_it_came(self, webhook: Any) -> str:
        return bytes(webhook.body).decode("utf-8", "backslashreplace")
