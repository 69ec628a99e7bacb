"""
Checks of settings, which `manage.py check` runs and every other command runs before it starts.

The checks of one group stand beside its fields in `shop.settings.groups`; here are those that compare groups or concern
Django's own settings.
"""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

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
    for check in (check_groups, check_redis, check_mail, check_gateway_timeout):
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
    timeout, limit = settings.EMAIL_TIMEOUT, settings.MESSAGING.handler_limit_seconds
    errors = []
    if problem := import_problem(settings.EMAIL_BACKEND):
        errors.append(error("E001", problem, "Set EMAIL_BACKEND to the dotted path of a class."))
    if timeout < 1:
        errors.append(error("E002", f"EMAIL_TIMEOUT is {timeout}.", "Set EMAIL_TIMEOUT to 1 or more."))
    if timeout >= limit:
        problem = f"Sending mail may take {timeout} s, but a worker is ended after {limit} s."
        errors.append(error("E006", problem, "Set EMAIL_TIMEOUT below MESSAGING_HANDLER_LIMIT_SECONDS."))
    if settings.EMAIL_USE_TLS and settings.EMAIL_USE_SSL:
        problem = "EMAIL_USE_TLS and EMAIL_USE_SSL are both on."
        errors.append(error("E007", problem, "Switch off EMAIL_USE_TLS or EMAIL_USE_SSL."))
    return errors


def check_gateway_timeout(**_: Any) -> list[checks.CheckMessage]:
    """
    Reject a gateway timeout that may outlast a worker. A call may make two requests: a query, then a charge.
    """
    timeout, limit = settings.PAYMENTS.timeout_seconds, settings.MESSAGING.handler_limit_seconds
    if 0 < timeout * 2 <= limit:
        return []
    problem = f"The gateway may take {timeout} s for each of two requests, but a worker is ended after {limit} s."
    return [error("E009", problem, "Set PAYMENT_TIMEOUT_SECONDS to at most half of MESSAGING_HANDLER_LIMIT_SECONDS.")]


def check_cache(**_: Any) -> list[checks.CheckMessage]:
    """
    Warn of a cache that processes do not share.
    """
    if settings.CACHES["default"]["BACKEND"] not in CACHES_OF_ONE_PROCESS:
        return []
    problem = "Each process counts requests and failed logins separately, so rate limits multiply by their number."
    return [warning("W001", problem, "Set REDIS_URL.")]


def _groups() -> tuple[SettingsGroup, ...]:
    return (
        settings.SHOP,
        settings.ORDERS,
        settings.ACCOUNTS,
        settings.THROTTLING,
        settings.MESSAGING,
        settings.PAYMENTS,
    )
