"""
Sentry: unexpected errors of every process are sent to the project in SENTRY_DSN, without contact data and secrets.
"""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from messaging.kernel.redaction import redact
from messaging.kernel.tracing import current_trace_id
from shop.http import request_id


def start() -> None:
    """
    Send unexpected exceptions of requests, and what is logged as an error, to Sentry, if SENTRY_DSN is set. Cookies,
    users, bodies of requests and local variables are never sent: they contain contact data of customers.

    :raises ImproperlyConfigured: if the library is not installed, or SENTRY_DSN cannot be read.
    """
    if not settings.MONITORING.sentry_dsn:
        return
    try:
        import sentry_sdk  # an optional dependency
        from sentry_sdk.integrations.logging import ignore_logger
    except ImportError as error:
        raise ImproperlyConfigured("SENTRY_DSN is set, but install requirements-sentry.lock first.") from error
    try:
        sentry_sdk.init(
            dsn=settings.MONITORING.sentry_dsn,
            environment="development" if settings.DEBUG else "production",
            server_name=settings.SERVICE.name,
            send_default_pii=False,
            include_local_variables=False,
            max_request_body_size="never",
            before_send=_prepare,
            before_breadcrumb=lambda breadcrumb, _: _redacted(breadcrumb),
        )
    except sentry_sdk.utils.BadDsn as error:
        raise ImproperlyConfigured(f"SENTRY_DSN cannot be read: {error}.") from error
    # Requests with invented host names are answered with 400, and every public server gets them.
    ignore_logger("django.security.DisallowedHost")


def _prepare(event: Any, hint: Any) -> Any:
    """
    Return an event with the ids of its request and trace, and each text in it redacted.
    """
    event["tags"] = dict(event.get("tags") or {}) | {
        "request_id": request_id.current(),
        "trace_id": current_trace_id(),
    }
    return _redacted(event)


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(each) for key, each in value.items()}
    return [_redacted(each) for each in value] if isinstance(value, list | tuple) else value
