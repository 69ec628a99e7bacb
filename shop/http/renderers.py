"""
The HTML pages of the API.
"""

from typing import TYPE_CHECKING, Any

from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.status import is_redirect

if TYPE_CHECKING:
    # Django REST framework imports this module while it defines the base of every view.
    from shop.http.views import ShopView


class ShopPages(BrowsableAPIRenderer):
    """
    Render responses as pages of the shop: by the view's own template, which finds the response in `data`, or by one
    that shows any response.
    """

    template = "shop/api.html"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> str:
        view, request, response = (renderer_context[name] for name in ("view", "request", "response"))
        if response.exception:
            return _error_page(data, request, response.status_code, view)
        if is_redirect(response.status_code):
            return ""
        template = view.pages.get(view.operation)
        if template is None:
            return super().render(data, accepted_media_type, renderer_context)
        etag = response.headers.get("ETag", "")
        if etag:
            # It names the state of the data. A page has more: who is logged in, and the tokens of its forms.
            del response.headers["ETag"]
            response.headers["Cache-Control"] = "no-store"
        return render_to_string(template, {"data": data, "etag": etag}, request)

    def get_context(self, data: Any, *arguments: Any) -> dict[str, Any]:
        context = super().get_context(data, *arguments)
        view: ShopView = context["view"]
        return context | {"data": data, "has_delete_buttons": view.is_deleted_from_list}


def _error_page(problem: Any, request: Request, status: int, view: "ShopView") -> str:
    # A server error may be the database's, in which the user's session cannot be looked up.
    trusted = request if status < 500 else None
    links = view.error_links.get(view.operation) if trusted else None
    return render_to_string("shop/problem.html", {"problem": problem, "back": _back(request), "links": links}, trusted)


def _back(request: Request) -> str:
    """
    Return the URL of the shop's page that led here, if one did.
    """
    page = request.META.get("HTTP_REFERER", "")
    is_ours = url_has_allowed_host_and_scheme(page, {request.get_host()})
    return page if is_ours and page != request.build_absolute_uri() else ""
