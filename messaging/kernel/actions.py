"""
Actions on the chosen rows of a list in the admin, which first say what they will do, and ask for confirmation.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from .admin import MOST_PAGED, AtLeast

MOST_LISTED = 20

Action = Callable[[Any, HttpRequest, Any], HttpResponse | None]
Consequences = Callable[[Any, HttpRequest, Any], Sequence[str]]


def asks_first(consequences: Consequences) -> Callable[[Action], Action]:
    """
    Decorate an action of a `ModelAdmin`, below `admin.action`, so that it is performed after a page of confirmation.

    :param consequences: gets what the action gets, and returns what it will do, in sentences. It raises ValidationError
        if the form above the list is incomplete: then nothing happens, and the list shows the error.
    """

    def decorate(action: Action) -> Action:
        @wraps(action)
        def confirmed(self: Any, request: HttpRequest, chosen: Any) -> HttpResponse | None:
            try:
                sentences = consequences(self, request, chosen)
            except ValidationError as error:
                self.message_user(request, " ".join(error.messages), messages.ERROR)
                return None
            if request.POST.get("confirmed") == "yes":
                return action(self, request, chosen)
            return _ask(self, request, chosen, sentences)

        return confirmed

    return decorate


def counted(rows: QuerySet[Any]) -> int:
    """
    Return the number of rows, as lists of the admin count them.
    """
    number = rows.order_by()[: MOST_PAGED + 1].count()
    return number if number <= MOST_PAGED else AtLeast(MOST_PAGED)


def _ask(model_admin: Any, request: HttpRequest, chosen: QuerySet[Any], sentences: Sequence[str]) -> HttpResponse:
    name = request.POST.get("action", "")
    description = dict(model_admin.get_action_choices(request))[name]
    hidden = {"csrfmiddlewaretoken", "confirmed"}
    fields = [(key, value) for key in request.POST if key not in hidden for value in request.POST.getlist(key)]
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": description,
        "sentences": sentences,
        "rows": chosen[:MOST_LISTED],
        "most_listed": MOST_LISTED,
        "count": counted(chosen),
        "fields": fields,
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)
