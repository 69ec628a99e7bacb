"""
The API's OpenAPI document, and the pages that show it.
"""

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView
from rest_framework.request import Request
from rest_framework.response import Response

from shop.http.middleware import content_security_policy
from shop.http.views import ShopView

EMPTY = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""The hash of an empty text."""


class OpenApiView(ShopView, SpectacularAPIView):
    """
    The API in OpenAPI 3.1, as YAML or JSON.
    """

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(_schema())


class SwaggerPage(ShopView, SpectacularSwaggerView):
    metadata_class = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        policy = content_security_policy({"img-src": ["data:"]})
        return super().default_response_headers | {"Content-Security-Policy": policy}


class RedocPage(ShopView, SpectacularRedocView):
    metadata_class = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        # Redoc inserts empty style elements, which scripts of ours may fill, and searches in a worker of its own.
        policy = content_security_policy({"img-src": ["data:"], "style-src": [EMPTY], "worker-src": ["blob:"]})
        return super().default_response_headers | {"Content-Security-Policy": policy}


@cache
def _schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(public=True)
