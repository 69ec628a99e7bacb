"""
Admin pages of messages, deliveries, failed attempts, workers and receivers. All are read-only; dead letters can be
replayed or discarded, see `dead_letter_pages`. The backlog is in `backlog_pages`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import Case, OuterRef, QuerySet, Subquery, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.html import format_html

from . import backlog_pages, dead_letter_pages, dead_letters
from .contracts import event_types
from .dead_letter_forms import MOST_AT_ONCE
from .inbox import UNDECODABLE
from .kernel.actions import asks_first, counted
from .kernel.admin import ChoiceFilter, ReadOnly, RecentFilter, RowsToRead, WholeValueSearch, moment, to_the_second
from .kernel.csv_export import CsvExport
from .models import Attempt, Delivery, DeliveryQuerySet, OutboxMessage, ReceiverState, Resolution, Worker
from .status import broker_status, live_workers, worker_states
from .subscribers import all_subscribers


class SubscriberFilter(ChoiceFilter):
    title = parameter_name = field = "subscriber"
    names = all_subscribers


class RecentDeliveryFilter(RecentFilter):
    id_field = "message_id"


class TypeFilter(ChoiceFilter):
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


EXPORTED: Mapping[str, Callable[[Any], object]] = {
    "id": lambda delivery: delivery.pk,
    "subscriber": lambda delivery: delivery.subscriber,
    "type": lambda delivery: delivery.message.type,
    "key": lambda delivery: delivery.key,
    "status": lambda delivery: delivery.status,
    "attempts": lambda delivery: delivery.attempts,
    "failed_at": lambda delivery: delivery.failed_at,
    "error_class": lambda delivery: delivery.error_class,
    "error": lambda delivery: delivery.last_error,
    "fingerprint": lambda delivery: delivery.fingerprint,
}


class ReasonForm(ActionForm):
    # Validated by the action, because Django shows errors of this form as "No action selected".
    reason = forms.Field(required=False, widget=forms.TextInput(attrs={"size": 30, "maxlength": 500}))


class DeliveryInline(RowsToRead):
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
    list_filter = (TypeFilter, RecentFilter)
    date_hierarchy = "published_at"
    ordering = ("-id",)
    search_fields = ("key", "id")
    search_help_text = "By key, such as the id of an order, or by the id of a message; whole values only."
    show_full_result_count = False
    inlines = (DeliveryInline,)


@admin.register(Delivery)
class DeliveryAdmin(CsvExport, WholeValueSearch, ReadOnly, admin.ModelAdmin):
    list_display = ("id", "status", "subscriber", due, "attempts", "error_class", "link_to_message")
    list_filter = ("status", SubscriberFilter, RecentDeliveryFilter)
    indexed: ClassVar = {"status__exact": [Delivery.Status.PENDING, Delivery.Status.DEAD]}
    list_select_related = ("message",)
    date_hierarchy = "due_at"
    ordering = ("-id",)
    search_fields = ("key", "message_id")
    search_help_text = OutboxMessageAdmin.search_help_text
    show_full_result_count = False
    exclude = ("message", "due_at", "resolution")
    readonly_fields = ("link_to_message", due, "resolved")
    inlines = (AttemptInline,)
    action_form = ReasonForm
    actions = ("replay", "discard")
    exported = EXPORTED

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        rows: QuerySet[Delivery] = super().get_queryset(request)
        # A condition of the index of pending deliveries, which is true for all of them.
        is_pending = request.GET.get("status__exact") == Delivery.Status.PENDING
        return rows.filter(delivered_at=None) if is_pending else rows

    def rows_to_export(self, rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
        last = Attempt.objects.filter(delivery=OuterRef("pk")).order_by("-id")
        return rows.annotate(last_error=Subquery(last.values("error")[:1]))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """
        Find the deliveries of the newest messages with this key or id. Deliveries have no index of keys.
        """
        if not search_term.strip():
            return queryset, False
        of_messages = self.admin_site.get_model_admin(OutboxMessage)
        found, _ = of_messages.get_search_results(request, OutboxMessage.objects.all(), search_term)
        return queryset.filter(message_id__any=list(found.values_list("pk", flat=True))), False

    def get_urls(self) -> list[URLPattern]:
        return [*backlog_pages.urls(), *dead_letter_pages.urls(), *super().get_urls()]

    @admin.display(description="message", ordering="message")
    def link_to_message(self, delivery: Delivery) -> str:
        return _link(delivery.message)

    @admin.display(description="last replay or discard")
    def resolved(self, delivery: Delivery) -> str:
        resolution = Resolution.objects.filter(pk=delivery.resolution).first()
        if not resolution:
            return "-"
        page = reverse("admin:messaging_resolution", args=[resolution.pk])
        return format_html('<a href="{}">{}</a> {}', page, resolution, resolution.reason)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        dead = Delivery.objects.dead().filter(pk=object_id).first() if object_id.isdecimal() else None
        pages = {"dead_letter_group": dead_letter_pages.group_url("group", vars(dead)) if dead else ""}
        return super().change_view(request, object_id, form_url, {**pages, **(extra_context or {})})

    def _are_replayed(self, request: HttpRequest, chosen: DeliveryQuerySet) -> Sequence[str]:
        letters = counted(chosen.dead())
        return [
            f"Dead letters that are delivered again, each to its own subscriber with all its attempts: {letters}.",
            *_bounds(chosen),
        ]

    def _are_discarded(self, request: HttpRequest, chosen: DeliveryQuerySet) -> Sequence[str]:
        if not request.POST.get("reason", "").strip():
            raise forms.ValidationError("Reason: say why they are discarded.")
        return [
            f"Dead letters that are discarded for good, and never delivered: {counted(chosen.dead())}.",
            *_bounds(chosen),
        ]

    @admin.action(description="Replay dead letters", permissions=["resolve"])
    @asks_first(_are_replayed)
    def replay(self, request: HttpRequest, chosen: DeliveryQuerySet) -> HttpResponse | None:
        return self._resolve(request, chosen, "Replayed", dead_letters.replay)

    @admin.action(description="Discard dead letters for good", permissions=["resolve"])
    @asks_first(_are_discarded)
    def discard(self, request: HttpRequest, chosen: DeliveryQuerySet) -> HttpResponse | None:
        return self._resolve(request, chosen, "Discarded", dead_letters.discard)

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("messaging.change_delivery")

    def _resolve(
        self, request: HttpRequest, chosen: DeliveryQuerySet, verb: str, resolve: Callable[..., Resolution]
    ) -> HttpResponse | None:
        """
        Replay or discard the dead letters among the chosen deliveries, and show what becomes of them.

        :param verb: "Replayed" or "Discarded".
        """
        others = dead_letters.count_up_to(chosen.exclude(status=Delivery.Status.DEAD))
        letters = chosen.dead().order_by("pk")[:MOST_AT_ONCE]
        reason = request.POST.get("reason", "").replace("\x00", "")[:500]
        resolution = resolve(letters, chosen="by hand", **dead_letter_pages.by(request, verb, reason))
        if others:
            number = dead_letters.described_count(others)
            self.message_user(request, f"Left unchanged, since they are not dead letters: {number}.", messages.WARNING)
        if not resolution.letters:
            return None
        self.message_user(request, f"{verb} {resolution.letters} dead letter{pluralize(resolution.letters)}.")
        return redirect("admin:messaging_resolution", resolution.pk)


@admin.register(Attempt)
class AttemptAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "error_class", "error", moment("failed_at"), "number", "link_to_delivery")
    list_select_related = ("delivery",)
    date_hierarchy = "failed_at"
    ordering = ("-id",)
    search_fields = ("error_class", "error")
    searches_by_index = False
    show_full_result_count = False
    fields = ("link_to_delivery", "number", "failed_at", "error_class", "error", as_printed)
    readonly_fields = ("link_to_delivery", as_printed)

    @admin.display(description="delivery", ordering="delivery")
    def link_to_delivery(self, attempt: Attempt) -> str:
        return _link(attempt.delivery)


@admin.register(Worker)
class WorkerAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("number", "state", "host", "process", moment("started_at"), moment("seen_at"), "end")
    ordering = ("number",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        states = worker_states(timezone.now())
        state = Case(
            When(number__in=states.dead, then=Value("dead")),
            When(number__in=states.silent, then=Value("silent")),
            default=Value("running"),
        )
        workers: QuerySet[Worker] = super().get_queryset(request).annotate(state=state)
        return workers

    @admin.display(ordering="state")
    def state(self, worker: Any) -> str:
        return str(worker.state)

    @admin.display(description="what to do")
    def end(self, worker: Any) -> str:
        if worker.end_requested_at:
            return "Its end is requested."
        page = reverse("admin:messaging_end_worker", args=[worker.number])
        return "" if worker.state == "dead" else format_html('<a href="{}">End…</a>', page)


@admin.register(ReceiverState)
class ReceiverStateAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("worker", "state", moment("since"), moment("received_at"), "set_size", "error", moment("retry_at"))
    list_select_related = ("worker",)
    ordering = ("worker",)
    fields = ("worker", "state", "since", "received_at", "set_size", "error", "retry_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReceiverState]:
        states = worker_states(timezone.now())
        return ReceiverState.objects.with_state(states.running | states.silent)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"subtitle": _lag(), **(extra_context or {})})

    @admin.display(ordering="state")
    def state(self, receiver: Any) -> str:
        return str(receiver.state)


def _bounds(chosen: DeliveryQuerySet) -> Iterator[str]:
    """
    Return what else a page of confirmation says of chosen deliveries.
    """
    if others := counted(chosen.exclude(status=Delivery.Status.DEAD)):
        yield f"Left unchanged, since they are not dead letters: {others}."
    if chosen.dead()[MOST_AT_ONCE : MOST_AT_ONCE + 1].exists():
        yield f"At most {MOST_AT_ONCE} at a time."


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
