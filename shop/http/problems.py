"""
Errors as RFC 9457 wants them: `application/problem+json` for programs, a page for browsers.

Code that finds a fault raises an exception of Django REST framework with a code of `shop.http.error_codes`, and a
dict of them for faults of fields. This module renders them, and rewrites the error responses that Django makes.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from shop.http import request_id
from shop.http.error_codes import BY_STATUS, CATALOGUE
from shop.http.parsers import forget_unreadable_cookies, refused_body, refused_query

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
SAFE = {"GET", "HEAD", "OPTIONS"}
MOST_FAULTS = 100
# Of which Django REST framework tells less than the catalogue does.
STOCK_PHRASES = {"not_found", "not_authenticated", "unsupported_media_type"}
RETRY_AFTER_SECONDS = 2

Problem = dict[str, Any]


class Unavailable(exceptions.APIException):
    """
    The database is out of reach, or too busy.
    """

    status_code = 503
    default_code = "unavailable"
    default_detail = "The shop's database cannot be reached right now. Nothing was done."
    wait = RETRY_AFTER_SECONDS


def answer_api(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """
    Write down what went wrong in the API; leave it to Django if nobody foresaw it.
    """
    error = _as_api_exception(error)
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    request = context["request"]
    answer = Response(describe(error, safe=request.method in SAFE), error.status_code, headers=_headers(error))
    answer.problem = True
    if getattr(getattr(request, "accepted_renderer", None), "format", "json") != "api":
        # Whatever the view writes when all goes well, be it JSON, YAML or a page of its own.
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        answer.content_type = CONTENT_TYPE
    return answer


def describe(error: exceptions.APIException, *, safe: bool = False) -> Problem:
    """
    Describe an error, with the fields at fault if it names some.

    :param safe: whether it is the query that is at fault, as the request had no body to be.
    """
    if not isinstance(error.detail, dict | list):
        return problem(_code(_code_of(error.detail), error.status_code), str(error.detail), status=error.status_code)
    place = getattr(error, "place", "parameter" if safe else "pointer")
    found = [_fault(path, detail, place) for path, detail in _faults(error.detail)]
    if not found:
        return problem(_code("", error.status_code), status=error.status_code)
    more = f" And {len(found) - 1} more." if len(found) > 1 else ""
    told = problem(found[0]["code"], found[0]["detail"] + more, status=error.status_code)
    return told | {"errors": found[:MOST_FAULTS]}


def problem(code: str, detail: str = "", *, status: int | None = None) -> Problem:
    """
    Describe an error that a code tells enough of.
    """
    known = CATALOGUE[code]
    return {
        "type": f"/problems/#{code}",
        "title": known.title,
        "status": status or known.status,
        "detail": known.advice if code in STOCK_PHRASES or not detail else detail,
        "code": code,
        "request_id": request_id.current(),
    }


class Problems:
    """
    Give each request an id, refuse bodies that nobody wants to read, and rewrite the errors that Django answers.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begun = request_id.begin()
        forget_unreadable_cookies(request)
        refused = refused_body(request) or refused_query(request)
        answer = _written(request, problem(refused)) if refused else self.get_response(request)
        if answer.status_code >= 400 and not _is_problem(answer) and not _is_told_otherwise(request, answer):
            answer = _rewritten(request, answer)
        answer.headers["X-Request-Id"] = begun
        # People may go back to a page and what they typed there; of all else nobody keeps a copy.
        kept = "private, no-cache" if answer.headers.get("Content-Type", "").startswith("text/html") else "no-store"
        answer.headers.setdefault("Cache-Control", kept)
        return answer

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """
        Answer what a page of Django's raised, where the API would have answered.
        """
        error = _as_api_exception(error)
        if not isinstance(error, exceptions.APIException):
            return None
        return _written(request, describe(error), headers=_headers(error))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _written(request, problem("bad_request"))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _written(request, problem("permission_denied"))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _written(request, problem("not_found"))


def server_error(request: HttpRequest) -> HttpResponse:
    return _written(request, problem("internal_error"))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _written(request, problem("csrf_failed"))


@require_safe
def catalogue(request: HttpRequest) -> HttpResponse:
    """
    Show every code on one page.
    """
    rows = [(code, *known) for code, known in CATALOGUE.items()]
    return render(request, "shop/problems.html", {"catalogue": rows, "shop_name": settings.SHOP.name})


def _as_api_exception(error: Exception) -> Exception:
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("The database failed.", exc_info=error)
        return Unavailable()
    if isinstance(error, DataError):
        logger.warning("A request had a value that no column can hold, where nobody looked.", exc_info=error)
        return exceptions.ParseError(CATALOGUE["bad_request"].advice, code="bad_request")
    return error


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {"WWW-Authenticate": getattr(error, "auth_header", None), "Retry-After": getattr(error, "wait", None)}
    return {name: str(value) for name, value in headers.items() if value}


def _code(code: str, status: int, *, otherwise: str = "") -> str:
    return code if code in CATALOGUE else otherwise or BY_STATUS.get(status, "bad_request")


def _code_of(detail: Any) -> str:
    return str(getattr(detail, "code", ""))


def _faults(detail: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], exceptions.ErrorDetail]]:
    """
    Walk through the details of an exception, each with the path of its field.
    """
    if isinstance(detail, dict):
        for name, within in detail.items():
            yield from _faults(within, path if name == api_settings.NON_FIELD_ERRORS_KEY else (*path, str(name)))
    elif isinstance(detail, list):
        for at, within in enumerate(detail):
            yield from _faults(within, (*path, str(at)) if isinstance(within, dict | list) else path)
    else:
        yield path, detail


def _fault(path: tuple[str, ...], detail: exceptions.ErrorDetail, place: str) -> dict[str, str]:
    code = _code(_code_of(detail), 400, otherwise="invalid_parameter" if place == "parameter" else "invalid_field")
    where = "#" + "".join(f"/{name}" for name in path) if place == "pointer" else "/".join(path)
    return {"code": code, "detail": str(detail), place: where}


def _is_problem(answer: HttpResponse) -> bool:
    return getattr(answer, "problem", False)


def _is_page(request: HttpRequest) -> bool:
    return request.get_preferred_type([CONTENT_TYPE, "application/json", "text/html"]) == "text/html"


def _written(request: HttpRequest, told: Problem, *, headers: Mapping[str, str] | None = None) -> HttpResponse:
    if _is_page(request):
        # Without the request, for its session may be what failed.
        page = render_to_string("shop/problem.html", {"problem": told, "shop_name": settings.SHOP.name})
        answer = HttpResponse(page, status=told["status"], headers=headers)
    else:
        answer = JsonResponse(told, status=told["status"], content_type=CONTENT_TYPE, headers=headers)
    answer.problem = True
    return answer


def _is_told_otherwise(request: HttpRequest, answer: HttpResponse) -> bool:
    """
    Tell whether a person gets a page that says more than the status does.
    """
    return _is_page(request) and (answer.streaming or bool(answer.content))


def _rewritten(request: HttpRequest, answer: HttpResponse) -> HttpResponse:
    told = problem(BY_STATUS.get(answer.status_code, "bad_request"), status=answer.status_code)
    kept = {name: answer.headers[name] for name in ("Allow", "Retry-After", "WWW-Authenticate") if name in answer}
    return _written(request, told, headers=kept)
