"""
The API's OpenAPI document, and the pages that show it.
"""

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

from shop.http.views import ShopView


class Schema(ShopView, SpectacularAPIView):
    """
    The API in OpenAPI 3.1, as YAML or JSON.
    """

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(_schema())


class SwaggerPage(ShopView, SpectacularSwaggerSplitView):
    metadata_class = None


class RedocPage(ShopView, SpectacularRedocView):
    metadata_class = None


@cache
def _schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(public=True)
