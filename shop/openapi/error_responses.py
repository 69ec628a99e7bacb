"""
The error responses of an operation in the OpenAPI document, derived from its permissions and its request.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.serializers import ListField, ListSerializer
from rest_framework.views import APIView

from shop.http.authentication import BySession, ByToken
from shop.http.error_codes import CATALOGUE
from shop.http.fields import Input
from shop.http.problems import CONTENT_TYPE, problem

JsonObject = dict[str, Any]

ANY_REQUEST = {"not_acceptable", "unavailable"}
UNSAFE_METHOD = {"body_too_large", "length_required"}
IDEMPOTENCY = {"idempotency_key_invalid", "idempotency_key_missing", "idempotency_key_reused", "request_in_progress"}
TOKEN = {
    "invalid_signature",
    "invalid_token",
    "not_authenticated",
    "replayed_request",
    "signature_required",
    "timestamp_out_of_tolerance",
}
BODY = {
    "duplicate_key",
    "invalid_characters",
    "invalid_utf8",
    "malformed_json",
    "not_an_object",
    "too_deep",
    "unsupported_charset",
    "unsupported_encoding",
    "unsupported_media_type",
}


def authentication_codes(view: APIView, method: str) -> set[str]:
    """
    Return the error codes of authentication, permissions and rate limits.
    """
    authenticators = view.get_authenticators()
    return _selected(
        (_has(authenticators, ByToken), TOKEN),
        (_has(authenticators, BySession) and method != "GET", {"csrf_failed"}),
        (not has_only(view, AllowAny), {"not_authenticated"}),
        (not has_only(view, AllowAny, IsAuthenticated), {"permission_denied"}),
        (bool(view.get_throttles()), {"throttled"}),
    )


def request_codes(method: str, path: str, headers: Collection[str], *, is_list: bool) -> set[str]:
    """
    Return the error codes of the URL, the headers and the format of the body.
    """
    return _selected(
        (True, ANY_REQUEST),
        ("{" in path, {"not_found"}),
        (is_list, {"invalid_parameter"}),
        (method != "GET", UNSAFE_METHOD),
        (method in {"PATCH", "POST", "PUT"}, BODY),
        ("Idempotency-Key" in headers, IDEMPOTENCY),
    )


def field_codes(serializer: object) -> Iterator[str]:
    """
    Yield the error codes of the fields of a body.
    """
    if isinstance(serializer, Input):
        yield "unknown_field"
        for field in serializer.fields.values():
            yield field.code  # type: ignore[attr-defined]  # each field of an Input has one
            yield from field_codes(field.child if isinstance(field, ListSerializer | ListField) else field)


def has_only(view: APIView, *permissions: type) -> bool:
    """
    Return whether a view has no other permissions than these.
    """
    return all(isinstance(permission, permissions) for permission in view.get_permissions())


def describe(codes: Collection[str]) -> JsonObject:
    """
    Return the responses with these error codes, by status.
    """
    by_status: dict[str, JsonObject] = {}
    for code in sorted(codes, key=lambda code: (CATALOGUE[code].status, code)):
        by_status.setdefault(str(CATALOGUE[code].status), {})[code] = reference("examples", code)
    schema = reference("schemas", "Problem")
    return {
        status: {
            "description": _title(list(examples), status),
            "content": {CONTENT_TYPE: {"schema": schema, "examples": examples}},
        }
        for status, examples in by_status.items()
    }


def _has(authenticators: Sequence[BaseAuthentication], way: type) -> bool:
    return any(isinstance(authenticator, way) for authenticator in authenticators)


def _title(codes: list[str], status: str) -> str:
    # Python's phrases for 413 and 422 change with its version; each of those has one code.
    return CATALOGUE[codes[0]].title if len(codes) == 1 else HTTPStatus(int(status)).phrase


def share(paths: JsonObject) -> JsonObject:
    """
    Replace responses that several operations have by references, and return them by name.
    """
    by_operation = [operation["responses"] for path in paths.values() for operation in path.values()]
    uses = Counter(json.dumps(response) for responses in by_operation for response in responses.values())
    shared: JsonObject = {}
    for responses in by_operation:
        for status, response in responses.items():
            name = _name_of(response)
            if name and uses[json.dumps(response)] > 1 and shared.setdefault(name, response) == response:
                responses[status] = reference("responses", name)
    return shared


def _name_of(response: JsonObject) -> str:
    """
    Return the error code of a response, or a name by its status if it has several; empty if it is no error.
    """
    codes = list(response.get("content", {}).get(CONTENT_TYPE, {}).get("examples", {}))
    return codes[0] if len(codes) == 1 else response["description"].lower().replace(" ", "_") if codes else ""


def example(code: str) -> JsonObject:
    """
    Return an example of an error.
    """
    value = problem(code, CATALOGUE[code].advice) | {"request_id": "5f0c2a9b6d6e4c7f8a1b2c3d4e5f6071"}
    return {"summary": CATALOGUE[code].title, "value": value}


def reference(kind: str, name: str) -> dict[str, str]:
    """
    Return a reference to a component.
    """
    return {"$ref": f"#/components/{kind}/{name}"}


def _selected(*choices: tuple[bool, set[str]]) -> set[str]:
    return {code for is_chosen, codes in choices if is_chosen for code in codes}
