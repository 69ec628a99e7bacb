"""
Previews of every message with sample data, in each language: pages of the admin.

A mail is shown in sandboxed frames. Its document has a policy of its own: inline styles, no scripts, no other files.
"""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.mixins import PermissionRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.generic import TemplateView, View

from shop.http.middleware import content_security_policy

from .facts import facts_of, kind_of
from .models import Notification
from .rendering import Email, render_email, render_sms
from .samples import SAMPLES
from .sms.segments import segments

MAIL_POLICY = "; ".join(
    [
        *("default-src 'none'", "style-src 'unsafe-inline'", "base-uri 'none'", "form-action 'none'"),
        *("frame-ancestors 'self'", "sandbox"),
    ]
)


class MayViewNotifications(PermissionRequiredMixin):
    permission_required = "notifications.view_notification"
    raise_exception = True


class PreviewList(MayViewNotifications, TemplateView):
    template_name = "admin/notifications/notification/previews.html"

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        samples = [(name, _title(name), kind_of(event)) for name, event in SAMPLES.items()]
        page = {"title": "Previews of messages", "samples": samples, "languages": settings.LANGUAGES}
        return super().get_context_data(**about, **page, **admin.site.each_context(self.request))


class FramesMail:
    """
    Mixin of a view whose page shows a mail in frames.
    """

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().get(request, *args, **kwargs)  # type: ignore[misc]  # of the view
        response.headers["Content-Security-Policy"] = content_security_policy({"frame-src": ["'self'"]})
        return response


class PreviewPage(FramesMail, MayViewNotifications, TemplateView):
    template_name = "admin/notifications/notification/preview.html"

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        name, language = self.kwargs["name"], self.kwargs["language"]
        email, sms = _messages(name, language)
        page = {"title": _title(name), "email": email, "sms": sms, "segments": segments(sms)}
        others = {"languages": settings.LANGUAGES}
        return super().get_context_data(**about, **page, **others, **admin.site.each_context(self.request))


class PreviewDocument(MayViewNotifications, View):
    def get(self, request: HttpRequest, name: str, language: str) -> HttpResponse:
        email, _ = _messages(name, language)
        return mail_document(email.html)


def mail_document(html: str) -> HttpResponse:
    """
    Return a mail as a document that pages of the same site may show in a frame.
    """
    headers = {"Content-Security-Policy": MAIL_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return HttpResponse(html, headers=headers)


def urls(site: admin.AdminSite) -> list[URLPattern]:
    """
    Return the URLs of the previews, below the list of notifications.
    """
    return [
        path("previews/", site.admin_view(PreviewList.as_view()), name="notifications_previews"),
        path(
            "previews/<name>/<language>/",
            site.admin_view(PreviewPage.as_view()),
            name="notifications_preview",
        ),
        path(
            "previews/<name>/<language>/mail/",
            site.admin_view(PreviewDocument.as_view()),
            name="notifications_preview_mail",
        ),
    ]


def _messages(name: str, language: str) -> tuple[Email, str]:
    """
    Return the mail and the SMS of a sample; an empty text if there is no SMS of its kind.

    :raises Http404: if there is no such sample or language.
    """
    if name not in SAMPLES or language not in dict(settings.LANGUAGES):
        raise Http404
    kind, facts = kind_of(SAMPLES[name]), facts_of(SAMPLES[name])
    sms = "" if kind in Notification.ABOUT_ACCOUNTS else render_sms(kind, facts, language)
    return render_email(kind, facts, language), sms


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()
