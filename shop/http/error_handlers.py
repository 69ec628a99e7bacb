"""
Responses to errors: `application/problem+json` for programs, a page for browsers.

`handle_api_exception` is the exception handler of Django REST framework; the views are Django's, for errors outside of
the API.
"""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.context_processors import csrf
from django.template.loader import render_to_string
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated, Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from shop.http.exceptions import RetryLater, as_api_exception
from shop.http.problems import CONTENT_TYPE, ProblemDetails, describe, problem
from shop.http.views import ShopView


class CompleteResponse:
    """
    Marks a response to an error whose content says what is wrong: the middleware leaves it as it is.
    """


class ProblemResponse(CompleteResponse):
    """
    Marks a response that has a problem for its content.
    """


class ProblemOfView(ProblemResponse, Response):
    pass


class ProblemJson(ProblemResponse, JsonResponse):
    pass


class ProblemPage(ProblemResponse, HttpResponse):
    pass


def handle_api_exception(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """
    Return the response to an exception of a view; none if it is unexpected, which Django answers with a 500.
    """
    error = as_api_exception(error)
    if not isinstance(error, APIException):
        return None
    set_rollback()
    request, view = context["request"], context["view"]
    headers = retry_after(error) | _authenticate(error, view)
    response = ProblemOfView(describe(error, safe=request.method in SAFE_METHODS), error.status_code, headers=headers)
    if not view.renders_page:
        # Whatever the view renders on success: JSON, YAML or a page of its own.
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        response.content_type = CONTENT_TYPE
    return response


def problem_response(
    request: HttpRequest,
    details: ProblemDetails,
    *,
    headers: Mapping[str, str] | None = None,
    context: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """
    Return a response with this problem, as a page or as JSON, whichever the request prefers.

    :param context: of the page, beside the problem.
    """
    if prefers_page(request):
        # Rendered without a user, whose session may be what failed.
        page = render_to_string("shop/problem.html", {"problem": details, **(context or {})})
        return ProblemPage(page, status=details["status"], headers=headers)
    return ProblemJson(details, status=details["status"], content_type=CONTENT_TYPE, headers=headers)


def language_switch(request: HttpRequest) -> dict[str, Any]:
    """
    Return the context of a page with the language switch. Its form needs a cookie that the middleware for CSRF sets:
    errors outside of that have no switch.
    """
    return {"request": request, **csrf(request)}


def prefers_page(request: HttpRequest) -> bool:
    return request.get_preferred_type([CONTENT_TYPE, "application/json", "text/html"]) == "text/html"


def retry_after(error: APIException) -> dict[str, str]:
    """
    Return the header `Retry-After` if the error says when to retry.
    """
    wait = error.wait if isinstance(error, RetryLater | Throttled) else None  # type: ignore[union-attr]  # stubs lack it
    return {"Retry-After": str(wait)} if wait else {}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_response(request, problem("bad_request"))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_response(request, problem("permission_denied"), context=language_switch(request))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_response(request, problem("not_found"), context=language_switch(request))


def server_error(request: HttpRequest) -> HttpResponse:
    return problem_response(request, problem("internal_error"))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return problem_response(request, problem("csrf_failed"), context=language_switch(request))


def _authenticate(error: APIException, view: ShopView) -> dict[str, str]:
    # Django REST framework turns the status into a 403 where a view names no scheme.
    if isinstance(error, NotAuthenticated | AuthenticationFailed) and error.status_code == 401:
        return {"WWW-Authenticate": view.get_authenticate_header(view.request)}
    return {}
