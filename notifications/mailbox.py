"""
The mailbox of development and the demo: mails and SMS that were sent, as their recipients read them. It shows rows of
`Notification`, and has no store of its own. None of its pages exists if DEBUG is off.
"""

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib.auth.mixins import UserPassesTestMixin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import path, reverse_lazy
from django.views.generic import TemplateView, View

from messaging.kernel.order_numbers import InvalidNumber, parse_number

from .mail import Mail, with_token
from .models import Notification
from .previews import FramesMail, mail_document
from .sms.segments import segments

app_name = "mailbox"

PAGE_SIZE = 25

SENDS_NOTHING = {
    "django.core.mail.backends.dummy.EmailBackend",
    "notifications.sms.backends.dummy.SmsBackend",
    "",
}
"""Backends of mail and SMS; an empty one is none."""


class Mailbox(UserPassesTestMixin):
    """
    Mixin of its pages, for operators who may view notifications.
    """

    login_url = reverse_lazy("rest_framework:login")
    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.DEBUG:
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def test_func(self) -> bool:
        user = self.request.user
        return user.is_staff and user.has_perm("notifications.view_notification")


class SentList(Mailbox, TemplateView):
    template_name = "notifications/sent.html"

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        words = self.request.GET.get("q", "").strip()
        backends = {"email": settings.EMAIL_BACKEND, "sms": settings.NOTIFICATIONS.sms_backend}
        return super().get_context_data(
            **about,
            words=words,
            data=_page(_matching(words).order_by("-pk"), words, self.request.GET.get("page", "1")),
            backends=backends,
            sends_nothing=SENDS_NOTHING.issuperset(backends.values()),
        )


class SentMessage(FramesMail, Mailbox, TemplateView):
    template_name = "notifications/sent_message.html"

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        message = get_object_or_404(_sent(), pk=self.kwargs["pk"])
        if message.channel == Notification.Channel.SMS:
            return super().get_context_data(**about, message=message, segments=segments(message.body))
        mail = Mail(message)
        return super().get_context_data(**about, message=message, body=mail.body, headers=mail.message().items())


class SentMail(Mailbox, View):
    """
    The HTML of a mail, for a frame of its page.
    """

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        message = get_object_or_404(_sent().exclude(html=""), pk=pk)
        return mail_document(with_token(message, message.html))


def _sent() -> QuerySet[Notification]:
    return Notification.objects.filter(status__in=Notification.SENT)


def _matching(words: str) -> QuerySet[Notification]:
    """
    Return what was sent to a recipient that contains these words, or about the order with this number.
    """
    if not words:
        return _sent()
    matches = Q(recipient__icontains=words)
    with suppress(InvalidNumber):
        matches |= Q(number=parse_number(words))
    return _sent().filter(matches)


def _page(rows: QuerySet[Notification], words: str, number: str) -> dict[str, Any]:
    """
    Return a page of these rows, with the URLs of its neighbours; the nearest page if there is none of this number.
    """
    page = Paginator(rows, PAGE_SIZE).get_page(number)
    return {
        "results": page.object_list,
        "previous": _url(words, page.number - 1) if page.has_previous() else "",
        "next": _url(words, page.number + 1) if page.has_next() else "",
    }


def _url(words: str, page: int) -> str:
    return "?" + urlencode(({"q": words} if words else {}) | {"page": page})


urlpatterns = [
    path("", SentList.as_view(), name="list"),
    path("<uuid:pk>/", SentMessage.as_view(), name="message"),
    path("<uuid:pk>/mail/", SentMail.as_view(), name="mail"),
]
