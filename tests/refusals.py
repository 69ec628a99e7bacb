"""
Rejected requests: each gets a problem of the catalogue, and changes nothing.
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
    Send a request. Names of headers have `_` for hyphens.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.generic(method, path, body, content_type, headers=named)


def refused(client: Client, method: str, path: str, *body: bytes, **options: str) -> Problem:
    """
    Send a request, check that it changes no table, and return the problem of its response.
    """
    before = snapshot()
    answer = send(client, method, path, *body, **options)
    assert snapshot() == before
    return problem_of(answer)


def problem_of(answer: HttpResponse) -> Problem:
    """
    Return the problem of a response, after checking it against RFC 9457 and the catalogue.
    """
    assert answer.headers["Content-Type"] == "application/problem+json", answer.content[:500]
    problem = json.loads(answer.content)
    entry = CATALOGUE[problem["code"]]
    assert problem.keys() - {"errors"} == MEMBERS
    assert (answer.status_code, problem["status"]) == (entry.status, entry.status)
    assert (problem["type"], problem["title"]) == (f"/problems/#{problem['code']}", entry.title)
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    for fault in problem.get("errors", ()):
        assert_names_a_place(fault)
    return problem


def assert_names_a_place(fault: Mapping[str, str]) -> None:
    assert fault["code"] in CATALOGUE
    assert fault["detail"]
    [place] = fault.keys() - {"code", "detail"}
    assert place in PLACES
    assert isinstance(fault[place], str)


def assert_fault(problem: Problem, code: str, pointer: str) -> None:
    """
    Check that this is the only error.
    """
    assert [(fault["code"], fault["pointer"]) for fault in problem["errors"]] == [(code, pointer)]
    assert problem["code"] == code
