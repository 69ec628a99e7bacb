"""
Spans of OpenTelemetry for requests, by the semantic conventions for HTTP servers. Paths are named by their routes,
because some contain tokens; addresses of clients, headers and queries are left out.
"""

from collections.abc import Callable
from functools import lru_cache

from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest, HttpResponse
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from messaging.kernel import spans
from messaging.kernel.tracing import current_traceparent, enter_trace

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def respond(
    request: HttpRequest, get_response: Callable[[HttpRequest], HttpResponse], *, continues: bool
) -> HttpResponse:
    """
    Return the response, made in a span that the messages of the request carry on. If an instrumentation has begun a
    span for it already, that is used.

    :param continues: whether the current trace is that of the caller.
    """
    if trace.get_current_span().get_span_context().is_valid:
        enter_trace(spans.traceparent_of(trace.get_current_span()))
        return get_response(request)
    traces = [current_traceparent()] if continues else []
    method = request.method if request.method in METHODS else "_OTHER"
    attributes = {"http.request.method": method, "url.scheme": request.scheme or "http"}
    with spans.span(method, SpanKind.SERVER, attributes, traces=traces) as span:
        enter_trace(spans.traceparent_of(span) or current_traceparent())
        response = get_response(request)
        if request.resolver_match:
            route = _described(request.resolver_match.route)
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", response.status_code)
        if response.status_code >= 500:
            spans.mark_failed(span, str(response.status_code))
        return response


@lru_cache(maxsize=512)
def _described(route: str) -> str:
    """
    Return a route without regular expressions, such as "/things/<pk>/".
    """
    return str(simplify_regex(route))
