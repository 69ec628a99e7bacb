"""
The middleware of the shop, outermost first as in settings.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from types import MappingProxyType

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.common import CommonMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_supported_language_variant, override
from django.utils.translation.trans_real import parse_accept_lang_header
from rest_framework.exceptions import APIException
from rest_framework.permissions import SAFE_METHODS

from messaging.kernel import spans
from messaging.kernel.tracing import is_traceparent
from shop.http import outcome, request_id, server_spans
from shop.http.error_handlers import (
    CompleteResponse,
    ProblemResponse,
    language_switch,
    prefers_page,
    problem_response,
    retry_after,
)
from shop.http.exceptions import as_api_exception
from shop.http.parsers import drop_invalid_cookies, rejected_body, rejected_query
from shop.http.problems import describe, problem, problem_by_status

KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


class ContentSecurityPolicyMiddleware:
    """
    Add the policy of the setting SECURE_CSP to each response that has none of its own. Replace this class by
    `django.middleware.csp.ContentSecurityPolicyMiddleware`, which reads the same setting, with Django 6.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policy = content_security_policy()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not _is_technical_page(response):
            response.headers.setdefault("Content-Security-Policy", self.policy)
        return response


class LanguageMiddleware:
    """
    Answer in the language of the request: that of its cookie, which the language switch sets, or of `Accept-Language`,
    or else the shop's.

    Unlike Django's `LocaleMiddleware`, whose default is also the language of commands and logs, it understands `q=0`,
    and leaves the headers of data and files alone, which have no language.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = _language_of(request)
        with override(language):
            response = self.get_response(request)
        if _is_html(response) or isinstance(response, ProblemResponse):
            response.headers["Content-Language"] = language
            patch_vary_headers(response, ["Accept-Language"])
        return response


class ProblemsMiddleware:
    """
    Give each request an id, reject bodies and queries before they are read, and rewrite Django's error responses as
    problems.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        traceparent = request.META.get("HTTP_TRACEPARENT", "")
        id_ = request_id.begin(traceparent)
        if spans.is_on():
            response = server_spans.respond(request, self._respond, continues=is_traceparent(traceparent))
        else:
            response = self._respond(request)
        response.headers["X-Request-Id"] = id_
        # A browser may keep pages for its back button; other responses are not stored.
        response.headers.setdefault("Cache-Control", "private, no-cache" if _is_html(response) else "no-store")
        return response

    def _respond(self, request: HttpRequest) -> HttpResponse:
        drop_invalid_cookies(request)
        code = rejected_body(request) or rejected_query(request)
        if code:
            response = problem_response(request, problem(code))
        else:
            with nullcontext() if request.method in SAFE_METHODS else outcome.tracking_writes():
                response = self.get_response(request)
        if response.status_code >= 400 and not (isinstance(response, CompleteResponse) or _is_page(request, response)):
            response = _as_problem(request, response)
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """
        Return the API's response to an exception that a view outside of the API raised.
        """
        error = as_api_exception(error)
        if not isinstance(error, APIException):
            return None
        return problem_response(request, describe(error), headers=retry_after(error), context=language_switch(request))


class AppendSlashMiddleware(CommonMiddleware):
    """
    Redirect to the URL with a trailing slash, but only a request that reads: a redirected POST would arrive as a GET.
    Other methods get a 404.
    """

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return request.method in {"GET", "HEAD"} and super().should_redirect_with_slash(request)


def content_security_policy(more: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
    """
    Return the policy of the setting SECURE_CSP, with more sources by directive.
    """
    base = settings.SECURE_CSP
    return "; ".join(" ".join([name, *base.get(name, ()), *more.get(name, ())]) for name in {**base, **more})


def _language_of(request: HttpRequest) -> str:
    accepted = parse_accept_lang_header(request.META.get("HTTP_ACCEPT_LANGUAGE", ""))
    cookie = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
    for wanted in filter(None, (cookie, *(name for name, quality in accepted if quality))):
        with suppress(LookupError):
            return get_supported_language_variant(wanted)
    return str(settings.SHOP.language)


def _is_technical_page(response: HttpResponse) -> bool:
    """
    Return whether this is Django's page of an error while debugging, whose scripts and styles are inline.
    """
    is_error = response.status_code in {404, 500} and not isinstance(response, ProblemResponse)
    return settings.DEBUG and is_error


def _is_html(response: HttpResponse) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/html")


def _is_page(request: HttpRequest, response: HttpResponse) -> bool:
    """
    Return whether a browser gets a page of its own for this error, such as a login form.
    """
    return prefers_page(request) and (response.streaming or bool(response.content))


def _as_problem(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response}
    return problem_response(request, problem_by_status(response.status_code), headers=headers)
