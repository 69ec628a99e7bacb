"""
Admin pages of the backlog by subscriber, of the pause of one, and of the end of a worker.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.generic import TemplateView

from . import pauses
from .kernel.admin import to_the_second
from .kernel.redaction import redact
from .liveness import request_end
from .models import OperatorPause, Worker
from .status import age, live_workers, subscriber_statuses, worker_states
from .subscribers import all_subscribers

PAUSE, RESUME = "messaging.add_operatorpause", "messaging.delete_operatorpause"


class PauseForm(forms.Form):
    reason = forms.CharField(max_length=500, help_text="Why it is paused; outbox_status shows it.")


class EndForm(forms.Form):
    reason = forms.CharField(max_length=500, required=False, help_text="For the log; may be empty.")


class _Page(PermissionRequiredMixin, TemplateView):
    raise_exception = True

    def page(self, **about: Any) -> HttpResponse:
        return self.render_to_response({**admin.site.each_context(self.request), **about})


class Backlog(_Page):
    """
    The deliveries of each subscriber by state, as `manage.py outbox_status` prints them, and what is paused.
    """

    permission_required = "messaging.view_delivery"
    template_name = "admin/messaging/delivery/backlog.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        alive, now = live_workers(), timezone.now()
        rows = [
            (status, age(status.oldest_due_seconds), to_the_second(status.paused_until or status.paused_at))
            for status in subscriber_statuses(alive, now)
        ]
        may_pause = request.user.has_perm(PAUSE) or request.user.has_perm(RESUME)
        return self.page(title="Backlog by subscriber", workers=len(alive), rows=rows, may_pause=may_pause)


class Pause(_Page):
    """
    Pauses a subscriber in all workers, or resumes it.
    """

    permission_required = "messaging.view_delivery"
    template_name = "admin/messaging/delivery/pause.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._show(PauseForm())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        subscriber, form, action = self._subscriber(), PauseForm(request.POST), request.POST.get("action")
        if action not in {"pause", "resume"} or (action == "pause" and not form.is_valid()):
            return self._show(form)
        if not request.user.has_perm(PAUSE if action == "pause" else RESUME):
            return self.handle_no_permission()
        self._change(subscriber, form.cleaned_data["reason"] if action == "pause" else None)
        return redirect("admin:messaging_backlog")

    @transaction.atomic
    def _change(self, subscriber: str, reason: str | None) -> None:
        """
        Pause the subscriber for a reason, or resume it, and log who did.
        """
        if reason is None:
            paused = OperatorPause(subscriber=subscriber)
            is_changed, done = pauses.resume(subscriber), f"Resumed {subscriber}."
        else:
            by, now = self.request.user.get_username(), timezone.now()
            paused, is_changed = pauses.pause(subscriber, reason=reason, by=by, now=now)
            done = f"Paused {subscriber}: {paused.reason}"
        if is_changed:
            LogEntry.objects.log_actions(str(self.request.user.pk), [paused], CHANGE, done)
            messages.success(self.request, done)
        else:
            messages.warning(self.request, "Nothing was changed: another operator was faster.")

    def _subscriber(self) -> str:
        name = self.request.GET.get("subscriber", "")
        if name not in all_subscribers() and not ("\x00" not in name and self._pause_of(name)):
            raise Http404("There is no such subscriber.")
        return name

    def _pause_of(self, subscriber: str) -> OperatorPause | None:
        return OperatorPause.objects.filter(subscriber=subscriber).first()

    def _show(self, form: PauseForm) -> HttpResponse:
        subscriber = self._subscriber()
        paused = self._pause_of(subscriber)
        return self.page(
            title=f"{'Resume' if paused else 'Pause'} {subscriber}",
            subscriber=subscriber,
            paused=paused,
            since=paused and to_the_second(paused.paused_at),
            form=form,
            may=self.request.user.has_perm(RESUME if paused else PAUSE),
        )


class EndWorker(_Page):
    """
    Asks for confirmation, and requests that a worker's cluster kills it.
    """

    permission_required = "messaging.change_delivery"
    template_name = "admin/messaging/delivery/end_worker.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._show(EndForm())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        worker, form = self._worker(), EndForm(request.POST)
        if not form.is_valid():
            return self._show(form)
        with transaction.atomic():
            request_end(worker, now=timezone.now())
            done, reason = f"Requested the end of worker {worker}.", redact(form.cleaned_data["reason"])
            message = f"{done} {reason}".strip()
            LogEntry.objects.log_actions(str(self.request.user.pk), [worker], CHANGE, message)
        messages.success(request, f"{done} Its cluster kills it within seconds, and starts another.")
        return redirect("admin:messaging_worker_changelist")

    def _worker(self) -> Worker:
        return get_object_or_404(Worker, pk=self.kwargs["number"])

    def _show(self, form: EndForm) -> HttpResponse:
        worker = self._worker()
        state = worker_states(timezone.now()).described(worker.number)
        seen = to_the_second(worker.seen_at)
        return self.page(title=f"End worker {worker.number}", worker=worker, state=state, seen=seen, form=form)


def urls() -> list[URLPattern]:
    """
    Return the URLs of these pages, below those of deliveries.
    """
    pages = {
        "backlog/": ("backlog", Backlog),
        "pause/": ("pause", Pause),
        "workers/<int:number>/end/": ("end_worker", EndWorker),
    }
    return [
        path(route, admin.site.admin_view(view.as_view()), name=f"messaging_{name}")
        for route, (name, view) in pages.items()
    ]
