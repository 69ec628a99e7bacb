"""
The API's OpenAPI document.
"""

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request
from rest_framework.response import Response


class Schema(SpectacularAPIView):
    """
    What this API can do, in OpenAPI 3.1: as YAML, or as JSON.
    """

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(_schema())


@cache
def _schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(public=True)
