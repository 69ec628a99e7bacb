"""
Admin pages of the backlog by subscriber, and of the pause of one.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.generic import TemplateView

from . import pauses
from .kernel.admin import to_the_second
from .models import OperatorPause
from .status import age, live_workers, subscriber_statuses
from .subscribers import all_subscribers

PAUSE, RESUME = "messaging.add_operatorpause", "messaging.delete_operatorpause"


class PauseForm(forms.Form):
    reason = forms.CharField(max_length=500, help_text="Why it is paused; outbox_status shows it.")


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


def urls() -> list[URLPattern]:
    """
    Return the URLs of these pages, below those of deliveries.
    """
    pages = {"backlog": Backlog, "pause": Pause}
    return [
        path(f"{name}/", admin.site.admin_view(view.as_view()), name=f"messaging_{name}")
        for name, view in pages.items()
    ]
