"""
Admin of notifications: what became of each, the action to send it again, and the suppression list.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.urls import URLPattern
from django.utils import timezone

from messaging.kernel.actions import asks_first, counted
from messaging.kernel.admin import (
    ChoiceFilter,
    OrderNumberSearch,
    ReadOnly,
    RecentFilter,
    WholeValueSearch,
    link_to_rows,
    moment,
)
from shop.http.links import link_to

from . import previews, services
from .models import Notification, Suppression
from .suppressions import folded


class LanguageFilter(ChoiceFilter):
    title = parameter_name = field = "language"

    @staticmethod
    def names() -> Iterable[str]:
        return dict(settings.LANGUAGES)


class ResendForm(ActionForm):
    repeat = forms.BooleanField(required=False, label="also those that were accepted: their recipients get them again")


@admin.register(Notification)
class NotificationAdmin(OrderNumberSearch, ReadOnly, admin.ModelAdmin):
    list_display = (
        moment("created_at"),
        "status",
        "kind",
        "recipient",
        "order",
        moment("accepted_at"),
        "channel",
        "reason",
    )
    list_filter = ("status", "reason", "kind", "channel", LanguageFilter, RecentFilter)
    indexed: ClassVar = {"status__exact": [Notification.Status.FAILED, Notification.Status.BOUNCED]}
    date_hierarchy = "created_at"
    ordering = ("-id",)
    search_fields = ("id", "number", "order_id", "customer_id", "recipient", "message_id", "provider_id")
    unindexed = ("number",)
    partly_indexed: ClassVar = {
        "recipient": ~Q(reason=Notification.Reason.RECIPIENT_CAP) & ~Q(reason=Notification.Reason.TOTAL_CAP)
    }
    search_help_text = (
        "The whole id of a notification, an order, a customer or a message, the provider's id, or a whole e-mail"
        " address or phone number; of recent ones also an order's number."
    )
    show_full_result_count = False
    action_form = ResendForm
    actions = ("resend",)

    @admin.display(ordering="order_id")
    def order(self, notification: Notification) -> str:
        number = notification.number
        return link_to("admin: order", notification.order_id, number) if notification.order_id and number else number

    def get_urls(self) -> list[URLPattern]:
        return [*previews.urls(self.admin_site), *super().get_urls()]

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.change_notification")

    def _consequences(self, request: HttpRequest, selected: QuerySet[Notification]) -> Sequence[str]:
        repeats = request.POST.get("repeat") == "on"
        accepted = "Those that were accepted are sent again too: their recipients get them twice."
        return [
            f"The chosen messages are sent again with the same text: {counted(selected)}.",
            accepted if repeats else "Those that were accepted before stay as they are.",
            "Recipients on the suppression list get nothing.",
        ]

    @admin.action(description="Send again", permissions=["resend"])
    @asks_first(_consequences)
    def resend(self, request: HttpRequest, selected: QuerySet[Notification]) -> None:
        """
        Send the selected notifications again, and log who did; what was accepted only if the box is checked.
        """
        ids = list(selected.values_list("pk", flat=True))
        with transaction.atomic():
            queued, listed = services.resend(ids, repeats=request.POST.get("repeat") == "on", now=timezone.now())
            if queued:
                LogEntry.objects.log_actions(str(request.user.pk), queued, CHANGE, "Sent again.")
        if queued:
            self.message_user(request, f"Queued {len(queued)} notification{pluralize(len(queued))} again.")
        if listed:
            text = f"Not sent: {len(listed)}. The suppression list has their recipients: lift those entries first."
            self.message_user(request, text, messages.WARNING)
        if left := len(ids) - len(queued) - len(listed):
            text = (
                f"Left unchanged: {left}. They are on their way, have no text or recipient, or were accepted: check the"
            )
            self.message_user(request, f"{text} box to repeat accepted ones.", messages.WARNING)


@admin.register(Suppression)
class SuppressionAdmin(WholeValueSearch, admin.ModelAdmin):
    list_display = (moment("created_at"), "channel", "recipient", "reason", "cause")
    list_filter = ("reason", "channel")
    list_per_page = ReadOnly.list_per_page
    fields = readonly_fields = ("channel", "recipient", "reason", moment("created_at"), "cause")
    ordering = ("-id",)
    search_fields = ("id", "recipient", "notification_id", "notification__number")
    search_help_text = "A whole e-mail address or phone number, the id of a notification, or an order's number."
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        return False

    def value_of(self, field: str, term: str) -> str:
        return folded(term) if field == "recipient" else term

    @admin.display(description="notification")
    def cause(self, suppression: Suppression) -> str:
        return link_to_rows("notifications_notification", suppression.notification_id)
