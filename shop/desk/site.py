"""
The site of the admin: its index is the operator's desk.
"""

from collections.abc import Mapping
from typing import Any, cast

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from shop.desk import charts, menu, second_factor, second_factor_pages
from shop.http.desk import Concern, items_for


class DeskSite(AdminSite):
    index_title = "Home"
    index_template = "desk/index.html"

    def has_permission(self, request: HttpRequest) -> bool:
        """
        Return whether the user may use the admin: active staff that has proven the second factor, or needs none.
        """
        return super().has_permission(request) and second_factor.is_satisfied(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """
        Ask for the name and password, and then for the second factor, or have it set up.
        """
        if request.method == "GET" and super().has_permission(request) and not second_factor.is_satisfied(request):
            page = "second_factor_code" if second_factor.is_enrolled(cast("User", request.user)) else "second_factor"
            wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
            return redirect(reverse(f"admin:{page}", query={REDIRECT_FIELD_NAME: wanted} if wanted else None))
        return super().login(request, extra_context)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        return [*second_factor_pages.urls(), *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: Mapping[str, Any] | None = None) -> TemplateResponse:
        """
        Show what needs a person now, the figures, and the lists, as far as the user may see them.
        """
        now = timezone.now()
        items = list(items_for(request.user, now))
        concerns = sorted((item for item in items if isinstance(item, Concern)), key=lambda each: not each.is_urgent)
        figures = [charts.drawn(item) for item in items if not isinstance(item, Concern)]
        desk = {"now": now, "concerns": concerns, "figures": figures, "reports": bool(items), "orders": _orders()}
        return super().index(request, {**desk, **(extra_context or {})})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """
        Return the models that the user may see: grouped by work, or those of one app.
        """
        apps = super().get_app_list(request, app_label)
        if app_label:
            return apps
        return menu.grouped(apps, request.user, reverse("admin:index", current_app=self.name))


def _orders() -> str:
    """
    Return the URL of the list of orders; empty in a service without orders.
    """
    return reverse("admin:orders_order_changelist") if "orders" in settings.SERVICE.contexts else ""
