"""
The OpenAPI 3.1 document: what drf-spectacular derives from the views, the error responses of each operation, and
`openapi/base.yaml` for the rest.

What cannot be derived, a view declares as `error_codes`, `headers_read` and `headers_sent` (see `shop.http.views`).
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import yaml
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.serializers import BaseSerializer, Serializer

from shop.http.authentication import BySession, ByToken
from shop.http.error_codes import CATALOGUE
from shop.http.fields import Input
from shop.http.views import ShopView
from shop.openapi.error_responses import (
    BODY,
    JsonObject,
    authentication_codes,
    describe,
    example,
    field_codes,
    has_only,
    reference,
    request_codes,
    share,
)

BASE = Path(__file__).with_name("base.yaml")

SECURITY: dict[type[BaseAuthentication], list[dict[str, list[str]]]] = {
    ByToken: [{"token": []}, {"token": [], "signature": []}],
    BySession: [{"session": []}],
}
PARSING = BODY - {"unsupported_charset", "unsupported_encoding", "unsupported_media_type"}
"""Error codes of a view with a parser."""
HEADERS_OF_ERRORS = {"401": ["WWW-Authenticate"], "429": ["Retry-After"], "503": ["Retry-After"]}

Direction = Literal["request", "response"]


class ShopSchema(AutoSchema):
    """
    The description of one operation.
    """

    view: ShopView  # type: ignore[override]  # the parent class allows any view

    def get_tags(self) -> list[str]:
        return [self.view.__module__.partition(".")[0]]

    def get_operation_id(self) -> str:
        resource, *_ = [*self._tokenize_path(), "root"]
        return f"{resource.replace('-', '_')}_{self._operation}"

    def get_summary(self) -> str:
        return re.split(r"(?<=[.])\s", super().get_description())[0]

    def get_description(self) -> str:  # type: ignore[override]  # as in the parent class
        description = super().get_description()
        return "" if description == self.get_summary() else description

    def get_auth(self) -> list[JsonObject]:
        schemes = [
            scheme
            for used in self.view.get_authenticators()
            for way, schemes in SECURITY.items()
            if isinstance(used, way)
            for scheme in schemes
        ]
        return schemes + ([{}] if has_only(self.view, AllowAny) else [])

    def get_serializer_name(self, serializer: Serializer[Any], direction: Direction) -> str:
        return super().get_serializer_name(serializer, direction).removesuffix("Output")

    def _map_basic_serializer(self, serializer: BaseSerializer[Any], direction: str) -> JsonObject:
        """
        Require every field of a response, and allow no other fields in a request.
        """
        schema = super()._map_basic_serializer(serializer, direction)
        if direction == "request":
            return schema | {"additionalProperties": False}
        fields = {name: _without_limits(field) for name, field in schema["properties"].items()}
        return schema | {"properties": fields, "required": list(fields)}

    def _get_parameters(self) -> list[JsonObject]:
        return super()._get_parameters() + [reference("parameters", name) for name in self._headers_read]

    def _get_response_bodies(self, direction: Direction = "response") -> JsonObject:
        responses = super()._get_response_bodies(direction)
        if "If-None-Match" in self._headers_read:
            responses["304"] = {}
        for status, response in responses.items():
            response["description"] = HTTPStatus(int(status)).phrase
        headers = dict.fromkeys(responses, self.view.headers_sent.get(self._operation, ())) | HEADERS_OF_ERRORS
        responses |= describe(self._codes())
        for status, response in responses.items():
            names = ["X-Request-Id", *headers.get(status, [])]
            response["headers"] = {name: reference("headers", name) for name in names}
        return responses

    @property
    def _operation(self) -> str:
        return self.view.operation_of(self.method)

    @property
    def _headers_read(self) -> Sequence[str]:
        return self.view.headers_read.get(self._operation, ())

    def _codes(self) -> set[str]:
        of_request = request_codes(self.method, self.path, self._headers_read, is_list=self._is_list_view())
        return {
            *authentication_codes(self.view, self.method),
            *(of_request if self.view.get_parsers() else of_request - PARSING),
            *field_codes(None if self.method == "GET" else self.get_request_serializer()),
            *self.view.error_codes.get(self._operation, ()),
        }


def complete(result: JsonObject, **_: Any) -> JsonObject:
    """
    Add `base.yaml`, and share responses that several operations have.
    """
    base = yaml.safe_load(BASE.read_text(encoding="utf-8"))
    base["components"]["schemas"]["Code"]["enum"] = list(CATALOGUE)
    base["components"]["examples"] = {code: example(code) for code in CATALOGUE}
    base["components"]["responses"] = share(result["paths"])
    return _merged(result, base)


def undocumented() -> list[type]:
    """
    Return the classes whose docstrings are not part of the document.
    """
    return [*get_lib_doc_excludes(), Input]


def _without_limits(field: JsonObject) -> JsonObject:
    """
    Return a field without the limits of the database's integers, which depend on the database.
    """
    limits = {"maximum", "minimum", "format"} if field.get("type") == "integer" else set()
    return {name: value for name, value in field.items() if name not in limits}


def _merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return other
    return {**one, **{name: _merged(one.get(name), value) for name, value in other.items()}}
