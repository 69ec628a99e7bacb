"""
Refused requests: what each is answered, whatever is wrong with it, and that it changed nothing.
"""

import json
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.test import Client

from shop.http.error_codes import CATALOGUE
from tests.snapshot import snapshot

JSON = "application/json"
MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
PLACES = {"pointer", "header", "parameter"}

Problem = dict[str, Any]


def send(
    client: Client, method: str, path: str, body: bytes = b"", *, content_type: str = JSON, **headers: str
) -> HttpResponse:
    """
    Send a request as it is written here, with `_` for the hyphens of a header's name.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.generic(method, path, body, content_type, headers=named)


def refused(client: Client, method: str, path: str, *body: bytes, **options: str) -> Problem:
    """
    Send a request that changes nothing in any table, and read the problem it is answered.
    """
    before = snapshot()
    answer = send(client, method, path, *body, **options)
    assert snapshot() == before
    return problem_of(answer)


def problem_of(answer: HttpResponse) -> Problem:
    """
    Read a problem, which has to be one of the catalogue, written as RFC 9457 wants it.
    """
    assert answer.headers["Content-Type"] == "application/problem+json", answer.content[:500]
    told = json.loads(answer.content)
    known = CATALOGUE[told["code"]]
    assert told.keys() - {"errors"} == MEMBERS
    assert (answer.status_code, told["status"]) == (known.status, known.status)
    assert (told["type"], told["title"]) == (f"/problems/#{told['code']}", known.title)
    assert told["detail"]
    assert told["request_id"] == answer.headers["X-Request-Id"]
    for fault in told.get("errors", ()):
        assert_points_somewhere(fault)
    return told


def assert_points_somewhere(fault: Mapping[str, str]) -> None:
    assert fault["code"] in CATALOGUE
    assert fault["detail"]
    [place] = fault.keys() - {"code", "detail"}
    assert place in PLACES
    assert isinstance(fault[place], str)


def assert_fault(problem: Problem, code: str, pointer: str) -> None:
    """
    See that this is all that is wrong.
    """
    assert [(fault["code"], fault["pointer"]) for fault in problem["errors"]] == [(code, pointer)]
    assert problem["code"] == code
