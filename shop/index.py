"""
The start page, the API root, the page of error codes and the health check.
"""

from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.generic import TemplateView
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from shop import scenes
from shop.http.error_codes import CATALOGUE
from shop.http.views import ShopView

RESOURCES = {
    "products": "orders:product-list",
    "quote": "orders:quote",
    "orders": "orders:order-list",
    "payments": "payments:payment-list",
    "notifications": "notifications:notification-list",
    "notification_preferences": "notifications:preferences",
    "stock": "inventory:stock-list",
    "account": "account",
    "tokens": "token-list",
    "signing_keys": "signing-key-list",
    "problems": "problems",
    "schema": "schema",
    "docs": "docs",
}


class StartPage(TemplateView):
    """
    The start page. That of the demo shows its logins and addresses, and begins the tour.
    """

    template_name = "shop/landing.html"

    def get_context_data(self, **about: Any) -> dict[str, Any]:
        if not settings.SHOP.demo:
            return super().get_context_data(**about)
        about |= {
            "customer": scenes.CUSTOMER,
            "operator": scenes.OPERATOR,
            "simulator": settings.PAYMENTS.simulator_url if settings.PAYMENTS.uses_simulator else "",
            "scenes": scenes.SCENES if scenes.is_offered() else {},
        }
        return super().get_context_data(**about)


class Root(ShopView):
    """
    The URLs of every resource.
    """

    permission_classes = (AllowAny,)

    @extend_schema(responses=dict[str, str])
    def get(self, request: Request) -> Response:
        return Response({name: reverse(route, request=request) for name, route in RESOURCES.items()})


@require_safe
def problems(request: HttpRequest) -> HttpResponse:
    """
    Show every error code on one page.
    """
    return render(request, "shop/problems.html", {"catalogue": [(code, *entry) for code, entry in CATALOGUE.items()]})


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """
    Return 200 while this process reaches its database; 503 otherwise, as everywhere.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")
