"""
The description of the API in OpenAPI 3.1: what drf-spectacular derives from the views, how each operation can fail, and
`openapi/base.yaml`, which holds what no view knows.

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

from shop.accounts.authentication import SessionAuthentication, TokenAuthentication
from shop.http.error_codes import CATALOGUE
from shop.http.fields import Input
from shop.http.views import ShopView
from shop.openapi.error_responses import (
    OF_A_BODY,
    codes_of_body,
    codes_of_caller,
    codes_of_request,
    describe,
    example,
    has_only,
    reference,
    share,
)

BASE = Path(__file__).with_name("base.yaml")

SECURITY: dict[type[BaseAuthentication], list[dict[str, list[str]]]] = {
    TokenAuthentication: [{"token": []}, {"token": [], "signature": []}],
    SessionAuthentication: [{"session": []}],
}
OF_PARSING = OF_A_BODY - {"unsupported_charset", "unsupported_encoding", "unsupported_media_type"}
"""How a body fails only where somebody parses it."""
SENT_WITH_PROBLEMS = {"401": ["WWW-Authenticate"], "429": ["Retry-After"], "503": ["Retry-After"]}

Described = dict[str, Any]
Direction = Literal["request", "response"]


class ShopSchema(AutoSchema):
    """
    Describe one operation.
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
        whole = super().get_description()
        return "" if whole == self.get_summary() else whole

    def get_auth(self) -> list[Described]:
        ways = [way for caller in self.view.get_authenticators() for way in SECURITY[type(caller)]]
        return ways + ([{}] if has_only(self.view, AllowAny) else [])

    def get_serializer_name(self, serializer: Serializer[Any], direction: Direction) -> str:
        return super().get_serializer_name(serializer, direction).removesuffix("Output")

    def _map_basic_serializer(self, serializer: BaseSerializer[Any], direction: str) -> Described:
        """
        Say that an answer has all of its fields, and that a body may have no others.
        """
        described = super()._map_basic_serializer(serializer, direction)
        if direction == "request":
            return described | {"additionalProperties": False}
        fields = {name: _without_limits(field) for name, field in described["properties"].items()}
        return described | {"properties": fields, "required": list(fields)}

    def _get_parameters(self) -> list[Described]:
        return super()._get_parameters() + [reference("parameters", name) for name in self._headers_read]

    def _get_response_bodies(self, direction: Direction = "response") -> Described:
        answers = super()._get_response_bodies(direction)
        if "If-None-Match" in self._headers_read:
            answers["304"] = {}
        for status, answer in answers.items():
            answer["description"] = HTTPStatus(int(status)).phrase
        sent = dict.fromkeys(answers, self.view.headers_sent.get(self._operation, ()))
        answers |= describe(self._codes())
        for status, answer in answers.items():
            names = ["X-Request-Id", *(sent | SENT_WITH_PROBLEMS).get(status, [])]
            answer["headers"] = {name: reference("headers", name) for name in names}
        return answers

    @property
    def _operation(self) -> str:
        return self.view.operation_of(self.method)

    @property
    def _headers_read(self) -> Sequence[str]:
        return self.view.headers_read.get(self._operation, ())

    def _codes(self) -> set[str]:
        of_request = codes_of_request(self.method, self.path, self._headers_read, is_list=self._is_list_view())
        return {
            *codes_of_caller(self.view, self.method),
            *(of_request if self.view.get_parsers() else of_request - OF_PARSING),
            *codes_of_body(None if self.method == "GET" else self.get_request_serializer()),
            *self.view.error_codes.get(self._operation, ()),
        }


def complete(result: Described, **_: Any) -> Described:
    """
    Add what no view knows, and say once what several operations answer.
    """
    base = yaml.safe_load(BASE.read_text(encoding="utf-8"))
    base["components"]["schemas"]["Code"]["enum"] = list(CATALOGUE)
    base["components"]["examples"] = {code: example(code) for code in CATALOGUE}
    base["components"]["responses"] = share(result["paths"])
    return _merged(result, base)


def undocumented() -> list[type]:
    """
    List the classes whose docstrings are not for readers of the API.
    """
    return [*get_lib_doc_excludes(), Input]


def _without_limits(field: Described) -> Described:
    """
    Leave out which numbers a database could hold: that tells nothing, and each database something else.
    """
    limits = {"maximum", "minimum", "format"} if field.get("type") == "integer" else set()
    return {name: value for name, value in field.items() if name not in limits}


def _merged(one: Any, other: Any) -> Any:
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return other
    return {**one, **{name: _merged(one.get(name), value) for name, value in other.items()}}
