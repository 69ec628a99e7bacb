"""
Checks of settings, which `manage.py check` runs and every other command runs before it starts.

The checks of one group stand beside its fields in `shop.settings.groups`; here are those that compare groups or concern
Django's own settings.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from messaging.transports.protocol import CONNECT_SECONDS, RETENTION, SEND_SECONDS
from shop.settings.groups import import_problem
from shop.settings.variables import SettingsGroup, error, warning

REDIS_SCHEMES = {"redis", "rediss", "unix"}
CACHES_OF_ONE_PROCESS = {
    "django.core.cache.backends.dummy.DummyCache",
    "django.core.cache.backends.locmem.LocMemCache",
}


def register() -> None:
    """
    Register these checks with Django.
    """
    for check in (
        check_groups,
        check_redis,
        check_mail,
        check_tracking,
        check_gateway_timeout,
        check_sms_timeout,
        check_broker,
        check_contexts,
    ):
        checks.register(check)
    for check in (check_groups_for_deployment, check_cache):
        checks.register(check, deploy=True)


def check_groups(**_: Any) -> list[checks.CheckMessage]:
    """
    Return the errors of each group.
    """
    return [problem for group in _groups() for problem in group.errors()]


def check_groups_for_deployment(**_: Any) -> list[checks.CheckMessage]:
    """
    Return the warnings of each group.
    """
    return [problem for group in _groups() for problem in group.deployment_warnings()]


def check_redis(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject a cache address that does not belong to Redis.
    """
    if not settings.REDIS_URL or urlsplit(settings.REDIS_URL).scheme in REDIS_SCHEMES:
        return []
    return [error("E005", "REDIS_URL is not an address of Redis.", "Begin REDIS_URL with redis://, or remove it.")]


def check_mail(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject a mail backend that cannot be imported, that may outlast a worker, or that has two encryptions.
    """
    timeout, deadline = settings.EMAIL_TIMEOUT, settings.NOTIFICATIONS.email_deadline_seconds
    limit = settings.MESSAGING.handler_limit_seconds
    errors = []
    if reason := import_problem(settings.EMAIL_BACKEND):
        problem = f"{settings.EMAIL_BACKEND!r} cannot be imported: {reason}."
        errors.append(error("E001", problem, "Set EMAIL_BACKEND to the dotted path of a class."))
    if timeout < 1:
        errors.append(error("E002", f"EMAIL_TIMEOUT is {timeout}.", "Set EMAIL_TIMEOUT to 1 or more."))
    if timeout > deadline:
        problem = f"The mail provider may take {timeout} s for a reply, but a whole mail is cut off after {deadline} s."
        errors.append(error("E006", problem, "Set EMAIL_TIMEOUT to at most EMAIL_DEADLINE."))
    if 2 * deadline > limit:
        problem = f"A mail may take {deadline} s, but a worker is ended after {limit} s."
        errors.append(error("E015", problem, "Set EMAIL_DEADLINE to at most half of MESSAGING_HANDLER_LIMIT_SECONDS."))
    if settings.EMAIL_USE_TLS and settings.EMAIL_USE_SSL:
        problem = "EMAIL_USE_TLS and EMAIL_USE_SSL are both on."
        errors.append(error("E007", problem, "Switch off EMAIL_USE_TLS or EMAIL_USE_SSL."))
    return errors


def check_tracking(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject webhooks of a mail provider that cannot be verified.
    """
    if not settings.NOTIFICATIONS.email_tracking:
        return []
    from notifications import tracking  # with anymail's views, which commands of other shops need not import

    try:
        tracking.new_view()
    except tracking.NoTracking as reason:
        problem = f"Webhooks of the mail provider cannot be verified: {reason}"
        hint = "Set EMAIL_TRACKING to a provider of anymail, and in ANYMAIL its signing key or WEBHOOK_SECRET."
        return [error("E016", problem, hint)]
    return []


def check_gateway_timeout(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject a gateway timeout that may outlast a worker. A call may make two requests: a query, then a charge.
    """
    timeout, limit = settings.PAYMENTS.timeout_seconds, settings.MESSAGING.handler_limit_seconds
    if 0 < timeout * 2 <= limit:
        return []
    problem = f"The gateway may take {timeout} s for each of two requests, but a worker is ended after {limit} s."
    return [error("E009", problem, "Set PAYMENT_TIMEOUT_SECONDS to at most half of MESSAGING_HANDLER_LIMIT_SECONDS.")]


def check_sms_timeout(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject a timeout of SMS that may outlast a worker. A message may take two calls, and the time to connect.
    """
    timeout, limit = settings.NOTIFICATIONS.sms_timeout_seconds, settings.MESSAGING.handler_limit_seconds
    if not settings.NOTIFICATIONS.sms_backend or timeout * 3 <= limit:
        return []
    problem = f"The SMS provider may take {timeout} s for each of two calls, but a worker is ended after {limit} s."
    return [error("E013", problem, "Set SMS_TIMEOUT to at most a third of MESSAGING_HANDLER_LIMIT_SECONDS.")]


def check_broker(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject a handler limit that ends workers while they wait for the broker, and a retention time after which an event
    that the broker still keeps would take effect again.
    """
    limit, days = settings.MESSAGING.handler_limit_seconds, settings.MESSAGING.retention_days
    if not settings.TRANSPORT.url:
        return []
    errors = []
    if limit <= CONNECT_SECONDS + SEND_SECONDS:
        problem = f"A set may take {CONNECT_SECONDS + SEND_SECONDS} s to send, but a worker is ended after {limit} s."
        hint = f"Set MESSAGING_HANDLER_LIMIT_SECONDS above {CONNECT_SECONDS + SEND_SECONDS}."
        errors.append(error("E025", problem, hint))
    if days <= RETENTION.days:
        problem = f"The broker keeps events for {RETENTION.days} days, but their ids are pruned here after {days}."
        errors.append(error("E026", problem, f"Set MESSAGING_RETENTION_DAYS above {RETENTION.days}."))
    return errors


def check_contexts(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject a service that cannot communicate with the others.
    """
    if settings.SERVICE.is_whole_shop or settings.TRANSPORT.url:
        return []
    problem = f"Only {', '.join(settings.SERVICE.contexts)} runs here, and no broker connects it with the others."
    return [error("E028", problem, "Set TRANSPORT_URL to the broker of all services, or remove CONTEXTS.")]


def check_cache(**_: Any) -> list[checks.CheckMessage]:
    """
    Warn of a cache that processes do not share.
    """
    if settings.CACHES["default"]["BACKEND"] not in CACHES_OF_ONE_PROCESS:
        return []
    problem = "Each process counts requests and failed logins separately, so rate limits multiply by their number."
    return [warning("W001", problem, "Set REDIS_URL.")]


def _groups() -> Sequence[SettingsGroup]:
    """
    Return the groups of this service: a shop's gateway, for example, is not that of a service without payments.
    """
    of_contexts = {"payments": settings.PAYMENTS, "notifications": settings.NOTIFICATIONS}
    return (
        settings.SHOP,
        settings.SERVICE,
        settings.ORDERS,
        settings.ACCOUNTS,
        settings.THROTTLING,
        settings.MESSAGING,
        settings.TRANSPORT,
        settings.MONITORING,
        *(group for context, group in of_contexts.items() if context in settings.SERVICE.contexts),
    )
