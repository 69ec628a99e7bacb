"""
Admin pages of messages, deliveries, failed attempts, workers and receivers, and the backlog. All are read-only; dead
letters can be replayed or discarded.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.generic import TemplateView

from .contracts import event_types
from .inbox import UNDECODABLE
from .kernel.admin import ReadOnly, WholeValueSearch, moment, to_the_second
from .models import Attempt, Delivery, DeliveryQuerySet, OutboxMessage, ReceiverState, Worker
from .status import age, broker_status, live_workers, subscriber_statuses
from .subscribers import all_subscribers

Lookups = Iterable[tuple[str, str]]


class _ChoiceFilter(admin.SimpleListFilter):
    """
    Filter by names that the code defines: reading the names in use from a large table would scan it.
    """

    field: str
    names: Callable[[], Iterable[str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Lookups:
        return [(name, name) for name in sorted(type(self).names())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


class SubscriberFilter(_ChoiceFilter):
    title = parameter_name = field = "subscriber"
    names = all_subscribers


class TypeFilter(_ChoiceFilter):
    title = parameter_name = field = "type"

    @staticmethod
    def names() -> Iterable[str]:
        return [*event_types(), UNDECODABLE]


@admin.display(description="traceback")
def as_printed(attempt: Attempt) -> str:
    return format_html("<pre>{}</pre>", attempt.traceback)


@admin.display(description="due at", ordering="due_at")
def due(delivery: Delivery) -> str | None:
    # Afterwards, `due_at` is the end of the last lease.
    return to_the_second(delivery.due_at) if delivery.status == Delivery.Status.PENDING else None


class DeliveryInline(ReadOnly, admin.TabularInline):
    model = Delivery
    fields = ("subscriber", "status", due, "attempts", "delivered_at", "error_class")
    readonly_fields = (due,)
    show_change_link = True


class AttemptInline(ReadOnly, admin.StackedInline):
    model = Attempt
    verbose_name_plural = "failed attempts"
    fields = ("failed_at", "error_class", "error", as_printed)
    readonly_fields = (as_printed,)
    ordering = ("id",)


@admin.register(OutboxMessage)
class OutboxMessageAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "type", "key", moment("published_at"))
    list_filter = (TypeFilter,)
    date_hierarchy = "published_at"
    ordering = ("-id",)
    search_fields = ("key", "id")
    search_help_text = "By key, such as the id of an order, or by the id of a message; whole values only."
    show_full_result_count = False
    inlines = (DeliveryInline,)


@admin.register(Delivery)
class DeliveryAdmin(WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "status", "subscriber", due, "attempts", "error_class", "link_to_message")
    list_filter = ("status", SubscriberFilter)
    list_select_related = ("message",)
    date_hierarchy = "due_at"
    ordering = ("-id",)
    search_fields = ("key", "message_id")
    search_help_text = OutboxMessageAdmin.search_help_text
    show_full_result_count = False
    exclude = ("message", "due_at")
    readonly_fields = ("link_to_message", due)
    inlines = (AttemptInline,)
    actions = ("replay", "discard")

    def get_urls(self) -> list[URLPattern]:
        backlog = self.admin_site.admin_view(Backlog.as_view())
        return [path("backlog/", backlog, name="messaging_backlog"), *super().get_urls()]

    @admin.display(description="message", ordering="message")
    def link_to_message(self, delivery: Delivery) -> str:
        return _link(delivery.message)

    @admin.action(description="Replay dead letters", permissions=["resolve"])
    def replay(self, request: HttpRequest, chosen: DeliveryQuerySet) -> None:
        self._resolve(request, chosen, "Replayed", lambda letters: letters.replay(timezone.now()))

    @admin.action(description="Discard dead letters for good", permissions=["resolve"])
    def discard(self, request: HttpRequest, chosen: DeliveryQuerySet) -> None:
        self._resolve(request, chosen, "Discarded", lambda letters: letters.discard())

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("messaging.change_delivery")

    @transaction.atomic
    def _resolve(
        self, request: HttpRequest, chosen: DeliveryQuerySet, verb: str, resolve: Callable[[DeliveryQuerySet], int]
    ) -> None:
        """
        Replay or discard the dead letters among the chosen deliveries, and log that this user did.

        :param verb: "Replayed" or "Discarded".
        """
        letters = list(chosen.dead().order_by("pk").select_for_update(of=("self",)))
        others = chosen.exclude(pk__in=[letter.pk for letter in letters]).count()
        resolve(Delivery.objects.filter(pk__in=[letter.pk for letter in letters]))
        if letters:
            LogEntry.objects.log_actions(str(request.user.pk), letters, CHANGE, f"{verb} as a dead letter.")
            self.message_user(request, f"{verb} {len(letters)} dead letter{pluralize(len(letters))}.")
        if others:
            self.message_user(request, f"Left unchanged, since they are not dead letters: {others}.", messages.WARNING)


class Backlog(PermissionRequiredMixin, TemplateView):
    """
    The deliveries of each subscriber by state, as `manage.py outbox_status` prints them.
    """

    permission_required = "messaging.view_delivery"
    raise_exception = True
    template_name = "admin/messaging/delivery/backlog.html"

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        alive, now = live_workers(), timezone.now()
        rows = [
            (status, age(status.oldest_due_seconds), to_the_second(status.paused_until))
            for status in subscriber_statuses(alive, now)
        ]
        page = {"title": "Backlog by subscriber", "workers": len(alive), "rows": rows}
        return super().get_context_data(**about, **page, **admin.site.each_context(self.request))


@admin.register(Attempt)
class AttemptAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "error_class", "error", moment("failed_at"), "number", "link_to_delivery")
    list_select_related = ("delivery",)
    date_hierarchy = "failed_at"
    ordering = ("-id",)
    search_fields = ("error_class", "error")
    show_full_result_count = False
    fields = ("link_to_delivery", "number", "failed_at", "error_class", "error", as_printed)
    readonly_fields = ("link_to_delivery", as_printed)

    @admin.display(description="delivery", ordering="delivery")
    def link_to_delivery(self, attempt: Attempt) -> str:
        return _link(attempt.delivery)


@admin.register(Worker)
class WorkerAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("number", "host", "process", moment("started_at"))
    ordering = ("number",)


@admin.register(ReceiverState)
class ReceiverStateAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("worker", "state", moment("since"), moment("received_at"), "set_size", "error", moment("retry_at"))
    list_select_related = ("worker",)
    ordering = ("worker",)
    fields = ("worker", "state", "since", "received_at", "set_size", "error", "retry_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReceiverState]:
        return ReceiverState.objects.with_state(live_workers())

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"subtitle": _lag(), **(extra_context or {})})

    @admin.display(ordering="state")
    def state(self, receiver: Any) -> str:
        return str(receiver.state)


def _lag() -> str:
    """
    Return a sentence about the messages that wait at the broker, after its answer.
    """
    if not settings.TRANSPORT.url:
        return "There is no broker."
    broker = broker_status(live_workers())
    return broker.error or broker.describe_lag()


def _link(target: OutboxMessage | Delivery) -> str:
    page = reverse(f"admin:messaging_{target._meta.model_name}_change", args=[target.pk])
    return format_html('<a href="{}">{}</a>', page, target)
