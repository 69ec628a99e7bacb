"""
The API's pages for people.

A view names templates of its own in `pages`, by action, or by method where it has no actions. They extend `base.html`
and find the answer in `data`. What has no template of its own gets a page that shows any answer.

Likewise a view may name in `ways_on` what leads on from its refusals.
"""

from typing import Any

from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.status import is_redirect


class ShopPages(BrowsableAPIRenderer):
    """
    Show the API to a browser as the shop's own site.
    """

    template = "shop/api.html"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> str:
        view, request, response = (renderer_context[name] for name in ("view", "request", "response"))
        if response.exception:
            return _problem_page(data, request, response.status_code, ways_on=_of(view, request, "ways_on"))
        if is_redirect(response.status_code):
            return ""
        own = _of(view, request, "pages")
        if own is None:
            return super().render(data, accepted_media_type, renderer_context)
        etag = response.headers.get("ETag", "")
        if etag:
            # It names the answer's state. A page has more: who is logged in, and the tokens of its forms.
            del response.headers["ETag"]
            response.headers["Cache-Control"] = "no-store"
        return render_to_string(own, {"data": data, "etag": etag}, request)

    def get_context(self, data: Any, *arguments: Any) -> dict[str, Any]:
        context = super().get_context(data, *arguments)
        view = context["view"]
        # What can be deleted but has no page of its own has its button on the list.
        return context | {"data": data, "only_goes": hasattr(view, "destroy") and not hasattr(view, "retrieve")}


def _of(view: Any, request: Request, name: str) -> str | None:
    """
    Tell which template a view names for what is done.
    """
    found: str | None = getattr(view, name, {}).get(getattr(view, "action", None) or request.method.lower())
    return found


def _problem_page(problem: Any, request: Request, status: int, *, ways_on: str | None) -> str:
    # When the database is what fails, whoever asks cannot be looked up in it.
    trusted = request if status < 500 else None
    shown = {"problem": problem, "back": _back(request), "ways_on": ways_on if trusted else None}
    return render_to_string("shop/problem.html", shown, trusted)


def _back(request: Request) -> str:
    """
    Tell which page of ours led here, if one did.
    """
    page = request.META.get("HTTP_REFERER", "")
    ours = url_has_allowed_host_and_scheme(page, {request.get_host()})
    return page if ours and page != request.build_absolute_uri() else ""
