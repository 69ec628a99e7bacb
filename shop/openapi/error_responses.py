"""
By which codes an operation of the API can fail, derived from who may call it and what it reads.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from http import HTTPStatus
from typing import Any

from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.serializers import ListField, ListSerializer
from rest_framework.views import APIView

from shop.accounts.authentication import SessionAuthentication, TokenAuthentication
from shop.http.error_codes import CATALOGUE
from shop.http.fields import Input
from shop.http.problems import CONTENT_TYPE, problem

Described = dict[str, Any]

OF_ANY_REQUEST = {"not_acceptable", "unavailable"}
OF_A_CHANGE = {"body_too_large", "length_required"}
OF_A_KEY = {"idempotency_key_invalid", "idempotency_key_missing", "idempotency_key_reused", "request_in_progress"}
OF_A_TOKEN = {
    "invalid_signature",
    "invalid_token",
    "not_authenticated",
    "replayed_request",
    "signature_required",
    "timestamp_out_of_tolerance",
}
OF_A_BODY = {
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


def codes_of_caller(view: APIView, method: str) -> set[str]:
    """
    Tell how a view can refuse whoever calls it.
    """
    callers = {type(caller) for caller in view.get_authenticators()}
    return _where(
        (TokenAuthentication in callers, OF_A_TOKEN),
        (SessionAuthentication in callers and method != "GET", {"csrf_failed"}),
        (not has_only(view, AllowAny), {"not_authenticated"}),
        (not has_only(view, AllowAny, IsAuthenticated), {"permission_denied"}),
        (bool(view.get_throttles()), {"throttled"}),
    )


def codes_of_request(method: str, path: str, headers: Collection[str], *, is_list: bool) -> set[str]:
    """
    Tell how a request can be wrong, whatever its body says.
    """
    return _where(
        (True, OF_ANY_REQUEST),
        ("{" in path, {"not_found"}),
        (is_list, {"invalid_parameter"}),
        (method != "GET", OF_A_CHANGE),
        (method in {"PATCH", "POST", "PUT"}, OF_A_BODY),
        ("Idempotency-Key" in headers, OF_A_KEY),
    )


def codes_of_body(serializer: object) -> Iterator[str]:
    """
    Tell how the fields of a body can be wrong.
    """
    if isinstance(serializer, Input):
        yield "unknown_field"
        for field in serializer.fields.values():
            yield field.code  # type: ignore[attr-defined]  # each field of an Input has one
            yield from codes_of_body(field.child if isinstance(field, ListSerializer | ListField) else field)


def has_only(view: APIView, *permissions: type) -> bool:
    """
    Tell whether a view asks for no other permissions than these.
    """
    return all(isinstance(permission, permissions) for permission in view.get_permissions())


def describe(codes: Collection[str]) -> Described:
    """
    Describe the answers with these codes, by status.
    """
    by_status: dict[str, Described] = {}
    for code in sorted(codes, key=lambda code: (CATALOGUE[code].status, code)):
        by_status.setdefault(str(CATALOGUE[code].status), {})[code] = reference("examples", code)
    problem = reference("schemas", "Problem")
    return {
        status: {
            "description": _title(list(examples), status),
            "content": {CONTENT_TYPE: {"schema": problem, "examples": examples}},
        }
        for status, examples in by_status.items()
    }


def _title(codes: list[str], status: str) -> str:
    # Python's phrases for 413 and 422 change with its version; each of those has one code.
    return CATALOGUE[codes[0]].title if len(codes) == 1 else HTTPStatus(int(status)).phrase


def share(paths: Described) -> Described:
    """
    Replace answers that several operations give by references, and return them by name.
    """
    answers = [operation["responses"] for path in paths.values() for operation in path.values()]
    times = Counter(json.dumps(answer) for of_one in answers for answer in of_one.values())
    shared: Described = {}
    for of_one in answers:
        for status, answer in of_one.items():
            name = _name_of(answer)
            if name and times[json.dumps(answer)] > 1 and shared.setdefault(name, answer) == answer:
                of_one[status] = reference("responses", name)
    return shared


def _name_of(answer: Described) -> str:
    """
    Name a failure by its code, or by its status if that has several.
    """
    codes = list(answer.get("content", {}).get(CONTENT_TYPE, {}).get("examples", {}))
    return codes[0] if len(codes) == 1 else answer["description"].lower().replace(" ", "_") if codes else ""


def example(code: str) -> Described:
    """
    Give an example of an error.
    """
    told = problem(code, CATALOGUE[code].advice) | {"request_id": "5f0c2a9b6d6e4c7f8a1b2c3d4e5f6071"}
    return {"summary": CATALOGUE[code].title, "value": told}


def reference(kind: str, name: str) -> dict[str, str]:
    """
    Refer to a component.
    """
    return {"$ref": f"#/components/{kind}/{name}"}


def _where(*told: tuple[bool, set[str]]) -> set[str]:
    return {code for holds, codes in told if holds for code in codes}
