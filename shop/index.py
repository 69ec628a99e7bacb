"""
The API root, the page of error codes and the health check.
"""

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from shop.http.error_codes import CATALOGUE
from shop.http.views import ShopView

RESOURCES = {
    "products": "orders:product-list",
    "quote": "orders:quote",
    "orders": "orders:order-list",
    "payments": "payments:payment-list",
    "notifications": "notifications:notification-list",
    "stock": "inventory:stock-list",
    "tokens": "token-list",
    "signing_keys": "signing-key-list",
    "problems": "problems",
    "schema": "schema",
    "docs": "docs",
}


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
