"""
Admin pages for dead letters: their groups, one group, a rehearsal before a replay or a discard, and what became of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.defaultfilters import pluralize
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.generic import TemplateView

from . import dead_letters
from .attempts import order_of
from .contracts import event_types
from .dead_letter_forms import MOST_AT_ONCE, AssignForm, DiscardForm, LettersForm, NoteForm, ReplayForm
from .inbox import UNDECODABLE
from .kernel.admin import to_the_second
from .kernel.links import link_to
from .kernel.redaction import redact
from .models import Attempt, DeadLetterGroup, Delivery, DeliveryQuerySet, OperatorPause, Resolution
from .status import live_workers
from .subscribers import all_subscribers

MOST_LISTED, FEW_LISTED = 100, 20
REFRESH_SECONDS, RETRY_REFRESH_SECONDS = 2, 15


class _Page(PermissionRequiredMixin, TemplateView):
    permission_required = "messaging.view_delivery"
    raise_exception = True

    def page(self, **about: Any) -> HttpResponse:
        shown = {**admin.site.each_context(self.request), "may_resolve": self.may_resolve, **about}
        return self.render_to_response(shown)

    @property
    def may_resolve(self) -> bool:
        return self.request.user.has_perm("messaging.change_delivery")


class Groups(_Page):
    """
    The groups of dead letters, and the last replays and discards.
    """

    template_name = "admin/messaging/delivery/groups.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        assigned = {_identity(group): group.assignee for group in _assigned_groups()}
        groups = [_group_row(group, assigned) for group in dead_letters.groups_at_a_glance()]
        return self.page(
            title="Dead letters",
            groups=groups,
            resolutions=Resolution.objects.order_by("-id")[:FEW_LISTED],
            subscribers=sorted(all_subscribers()),
            event_types=sorted([*event_types(), UNDECODABLE]),
        )


class GroupPage(_Page):
    """
    One group: an example with its traceback, what to do about it, its first dead letters, notes and assignee.
    """

    template_name = "admin/messaging/delivery/group.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._show(NoteForm())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.may_resolve:
            return self.handle_no_permission()
        note, assign = NoteForm(request.POST), AssignForm(request.POST)
        action = request.POST.get("action")
        if action == "note" and note.is_valid():
            self._log(f"Note: {redact(note.cleaned_data['note'])}")
        elif action == "assign" and assign.is_valid():
            self._assign(assign.cleaned_data["assignee"])
        else:
            return self._show(note if action == "note" else NoteForm())
        return redirect(request.get_full_path())

    def _assign(self, assignee: Any) -> None:
        DeadLetterGroup.objects.update_or_create(**self._group(), defaults={"assignee": assignee})
        self._log(f"Assigned to {assignee.get_username() if assignee else 'nobody'}.")

    def _log(self, message: str) -> None:
        log_group(self.request, self._group(), message)

    def _group(self) -> dict[str, Any]:
        form = LettersForm(self.request.GET)
        if not form.is_valid():
            raise Http404("There is no such group.")
        group = form.group()
        if not Delivery.objects.dead_of(**group).exists() and not DeadLetterGroup.objects.filter(**group).exists():
            raise Http404("There is no such group.")
        return group

    def _show(self, note_form: NoteForm) -> HttpResponse:
        group = self._group()
        letters = Delivery.objects.dead_of(**group)
        stored = DeadLetterGroup.objects.filter(**group).select_related("assignee").first()
        count, listed = dead_letters.count_up_to(letters), list_letters(letters, FEW_LISTED)
        return self.page(
            title=f"{group['error_class'] or 'No error'} of {group['subscriber']}",
            group=group,
            count=dead_letters.described_count(count),
            letters=listed,
            example=self._example(listed[0].pk) if listed else None,
            advice=dead_letters.advice_for(group["error_class"]),
            assignee=stored and stored.assignee,
            history=_history_of(stored) if stored else [],
            note_form=note_form,
            assign_form=AssignForm(initial={"assignee": stored and stored.assignee_id}),
            replay=group_url("replay", group),
            discard=group_url("discard", group),
        )

    def _example(self, pk: int) -> Mapping[str, Any]:
        letter = Delivery.objects.select_related("message").get(pk=pk)
        sees_contacts = self.request.user.has_perm("messaging.view_outboxmessage")
        return {
            "letter": letter,
            "payload": dead_letters.readable_payload(letter.message.payload, with_contact_data=sees_contacts),
            "attempt": Attempt.objects.filter(delivery=letter).order_by("-id").first(),
        }


class _Rehearsal(_Page):
    """
    Lists the dead letters that would be changed, and changes them by POST.
    """

    permission_required = "messaging.change_delivery"
    template_name = "admin/messaging/delivery/rehearsal.html"
    verb: str
    done: str
    form_class: type[ReplayForm | DiscardForm]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._show(LettersForm(request.GET), self.form_class(initial=request.GET.dict()))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.form_class(request.POST)
        if not form.is_valid():
            return self._show(LettersForm(request.POST), form)
        resolution = self._change(form)
        if not resolution.letters:
            messages.warning(request, "Nothing was changed: these are no dead letters any more.")
            return redirect("admin:messaging_groups")
        messages.success(request, f"{self.done} {resolution.letters} dead letter{pluralize(resolution.letters)}.")
        return redirect("admin:messaging_resolution", resolution.pk)

    def _change(self, form: Any) -> Resolution:
        letters = form.letters().order_by(*dead_letters.BY_GROUP)[:MOST_AT_ONCE]
        resolution = self.resolve(letters, form, **by(self.request, self.done, form.cleaned_data["reason"]))
        if resolution.letters and form.cleaned_data["exact"]:
            why = f": {resolution.reason}" if resolution.reason else "."
            letters_changed = f"{resolution.letters} dead letter{pluralize(resolution.letters)}"
            log_group(self.request, form.group(), f"{self.done} {letters_changed}{why}")
        return resolution

    def resolve(self, letters: DeliveryQuerySet, form: Any, **by: Any) -> Resolution:
        raise NotImplementedError

    def _show(self, filters: LettersForm, form: Any) -> HttpResponse:
        letters = filters.letters() if filters.is_valid() else Delivery.objects.none()
        count = dead_letters.count_up_to(letters)
        return self.page(
            title=f"{self.verb} dead letters",
            verb=self.verb,
            filters=filters,
            about=filters.describe() if filters.is_valid() else "",
            form=form,
            shown=[form[name] for name in form.shown],
            hidden=[form[name] for name in LettersForm.base_fields],
            count=count,
            described_count=dead_letters.described_count(count),
            letters=list_letters(letters, MOST_LISTED),
            most_listed=MOST_LISTED,
            most_at_once=MOST_AT_ONCE,
        )


class Replay(_Rehearsal):
    verb, done, form_class = "Replay", "Replayed", ReplayForm

    def resolve(self, letters: DeliveryQuerySet, form: ReplayForm, **by: Any) -> Resolution:
        return dead_letters.replay(letters, chosen=form.describe(), rate=form.cleaned_data["rate"], **by)


class Discard(_Rehearsal):
    verb, done, form_class = "Discard", "Discarded", DiscardForm

    def resolve(self, letters: DeliveryQuerySet, form: DiscardForm, **by: Any) -> Resolution:
        return dead_letters.discard(letters, chosen=form.describe(), **by)


class ResolutionPage(_Page):
    """
    What became of a replay; it refreshes until nothing is pending. Of a discard, who did it and why.
    """

    template_name = "admin/messaging/delivery/resolution.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        resolution = get_object_or_404(Resolution, pk=kwargs["pk"])
        result, deliveries = dead_letters.result_of(resolution), Delivery.objects.filter(resolution=resolution.pk)
        is_replay = resolution.kind == Resolution.Kind.REPLAY
        refresh = RETRY_REFRESH_SECONDS if result.failing == result.waiting else REFRESH_SECONDS
        return self.page(
            title=str(resolution),
            resolution=resolution,
            resolved_at=to_the_second(resolution.resolved_at),
            result=result if is_replay else None,
            refresh=refresh if is_replay and result.waiting else None,
            has_workers=not result.waiting or bool(live_workers()),
            paused=OperatorPause.objects.order_by("pk") if result.waiting else [],
            died=list_letters(deliveries.dead(), FEW_LISTED) if is_replay else [],
            discarded=[] if is_replay else list_letters(deliveries, FEW_LISTED),
        )


def urls() -> list[URLPattern]:
    """
    Return the URLs of these pages, below those of deliveries.
    """
    pages = {
        "groups/": ("groups", Groups),
        "groups/group/": ("group", GroupPage),
        "replay/": ("replay", Replay),
        "discard/": ("discard", Discard),
        "resolutions/<uuid:pk>/": ("resolution", ResolutionPage),
    }
    return [
        path(route, admin.site.admin_view(view.as_view()), name=f"messaging_{name}")
        for route, (name, view) in pages.items()
    ]


def group_url(page: str, group: Mapping[str, str]) -> str:
    """
    Return the URL of a page for a group.

    :param page: "group", "replay" or "discard".
    """
    of_group = {"subscriber": group["subscriber"], "error": group["error_class"], "fingerprint": group["fingerprint"]}
    return reverse(f"admin:messaging_{page}", query={**of_group, **({} if page == "group" else {"exact": "on"})})


def list_letters(letters: DeliveryQuerySet, limit: int) -> Sequence[Delivery]:
    """
    Return the first of these deliveries, each with its last `error` and a link to its order as `about`.
    """
    last = Attempt.objects.filter(delivery=OuterRef("pk")).order_by("-id")
    found = letters.select_related("message").annotate(error=Subquery(last.values("error")[:1]))
    listed: list[Any] = list(found.order_by(*dead_letters.BY_GROUP)[:limit])
    for letter in listed:
        order = order_of(letter.message.payload)
        letter.about = link_to("admin: order", order.order_id, order.number) if order.order_id else letter.key
        letter.failed = to_the_second(letter.failed_at)
    return listed


def log_group(request: HttpRequest, group: Mapping[str, Any], message: str) -> None:
    """
    Log for a group what its operator did.
    """
    stored, _ = DeadLetterGroup.objects.get_or_create(**group)
    _log(request, [stored], message)


def log_letters(request: HttpRequest, verb: str, reason: str) -> dead_letters.Log:
    """
    Return a function that logs for each dead letter who replayed or discarded it, and why.

    :param verb: "Replayed" or "Discarded".
    """
    why = f": {redact(reason.strip())}" if reason.strip() else "."
    return lambda letters: _log(request, letters, f"{verb} as a dead letter{why}")


def by(request: HttpRequest, verb: str, reason: str) -> dict[str, Any]:
    """
    Return the arguments of `dead_letters.replay` and `discard` that say who does it, when and why, and that log it.
    """
    return {
        "by": request.user.get_username(),
        "now": timezone.now(),
        "reason": reason,
        "log": log_letters(request, verb, reason),
    }


def _log(request: HttpRequest, rows: Sequence[Model], message: str) -> None:
    LogEntry.objects.log_actions(str(request.user.pk), rows, CHANGE, message)


def _assigned_groups() -> Sequence[DeadLetterGroup]:
    return list(DeadLetterGroup.objects.filter(assignee__isnull=False).select_related("assignee"))


def _identity(group: DeadLetterGroup | dead_letters.Group) -> tuple[str, str, str]:
    return group.subscriber, group.error_class, group.fingerprint


def _group_row(group: dead_letters.Group, assigned: Mapping[tuple[str, str, str], Any]) -> Mapping[str, Any]:
    return {
        "group": group,
        "count": dead_letters.described_count(group.letters),
        "first": to_the_second(group.first_failed_at),
        "last": to_the_second(group.last_failed_at),
        "assignee": assigned.get(_identity(group)),
        "url": group_url("group", group.identity),
        "replay": group_url("replay", group.identity),
    }


def _history_of(group: DeadLetterGroup) -> Sequence[LogEntry]:
    kind = ContentType.objects.get_for_model(DeadLetterGroup)
    entries = LogEntry.objects.filter(content_type=kind, object_id=str(group.pk)).select_related("user")
    return list(entries.order_by("-action_time")[:MOST_LISTED])
