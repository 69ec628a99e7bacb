"""
The API root and the health check.
"""

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

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


class Root(APIView):
    """
    Where everything begins.
    """

    permission_classes = (AllowAny,)

    @extend_schema(responses=dict[str, str])
    def get(self, request: Request) -> Response:
        return Response({name: reverse(route, request=request) for name, route in RESOURCES.items()})


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """
    Answer 200 while this process can serve: it runs and reaches its database. Otherwise it is a 503, as everywhere.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")
