"""
Settings that can be read but not meant: `manage.py check` names them, and commands do not start with them.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from babel.numbers import is_currency
from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

REDIS_SCHEMES = {"redis", "rediss", "unix"}
CACHES_OF_ONE_PROCESS = {
    "django.core.cache.backends.dummy.DummyCache",
    "django.core.cache.backends.locmem.LocMemCache",
}


def register() -> None:
    """
    Have Django call these checks with its own.
    """
    for check in (
        check_classes,
        check_numbers,
        check_reminder,
        check_currency,
        check_redis,
        check_mail_timeout,
        check_mail_encryption,
        check_throttling,
    ):
        checks.register(check)
    checks.register(check_cache, deploy=True)


def check_classes(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse the names of classes that cannot be imported.
    """
    named = {"PAYMENT_GATEWAY": settings.PAYMENTS["GATEWAY"], "EMAIL_BACKEND": settings.EMAIL_BACKEND}
    return [
        _error("E001", f"{path!r} cannot be imported: {problem}", f"Set {variable} to the dotted path of a class.")
        for variable, path in named.items()
        if (problem := _import_problem(path))
    ]


def check_numbers(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse limits, sizes and times below one.
    """
    return [
        _error("E002", f"{variable} is {number}.", f"Set {variable} to 1 or more.")
        for variable, number in _numbers()
        if number < 1
    ]


def check_reminder(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse to remind customers of payments whose time is up.
    """
    reminder, due = settings.ORDERS["REMINDER_SECONDS"], settings.ORDERS["PAYMENT_DUE_SECONDS"]
    if reminder < due:
        return []
    problem = f"Customers would be reminded after {reminder} s, but payments are due after {due} s."
    return [_error("E003", problem, "Set ORDER_REMINDER_SECONDS below ORDER_PAYMENT_DUE_SECONDS.")]


def check_currency(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse a currency that nobody knows.
    """
    currency = settings.ORDERS["CURRENCY"]
    if is_currency(currency, locale="en"):
        return []
    return [_error("E004", f"{currency!r} is no currency.", "Set SHOP_CURRENCY to an ISO 4217 code, such as GBP.")]


def check_redis(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse an address that is not Redis's.
    """
    if not settings.REDIS_URL or urlsplit(settings.REDIS_URL).scheme in REDIS_SCHEMES:
        return []
    return [_error("E005", "The cache's address is not Redis's.", "Begin REDIS_URL with redis://, or leave it out.")]


def check_mail_timeout(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse to wait for mail until the worker that waits is ended.
    """
    timeout, limit = settings.EMAIL_TIMEOUT, settings.MESSAGING["HANDLER_LIMIT_SECONDS"]
    if timeout < limit:
        return []
    problem = f"Mail may hang for {timeout} s, but a worker is ended after {limit} s."
    return [_error("E006", problem, "Set EMAIL_TIMEOUT below MESSAGING_HANDLER_LIMIT_SECONDS.")]


def check_mail_encryption(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse two encryptions at once, which no mail would survive.
    """
    if not (settings.EMAIL_USE_TLS and settings.EMAIL_USE_SSL):
        return []
    return [_error("E007", "Mail has two encryptions.", "Switch off EMAIL_USE_TLS or EMAIL_USE_SSL.")]


def check_throttling(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse limits below zero, which is none already.
    """
    numbers = {f"THROTTLE_{name}": number for name, number in settings.THROTTLING.items()}
    numbers["TRUSTED_PROXIES"] = settings.REST_FRAMEWORK["NUM_PROXIES"]
    return [
        _error("E008", f"{variable} is {number}.", f"Set {variable} to 0 or more.")
        for variable, number in numbers.items()
        if number < 0
    ]


def check_cache(**_: Any) -> list[checks.CheckMessage]:
    """
    Warn, before the shop is deployed, of counters that processes do not share.
    """
    if settings.CACHES["default"]["BACKEND"] not in CACHES_OF_ONE_PROCESS:
        return []
    problem = "Each process counts requests and failed logins for itself: two of them allow twice as many."
    return [checks.Warning(problem, hint="Set REDIS_URL.", id="shop.W001")]


def _numbers() -> Iterator[tuple[str, int]]:
    yield from ((f"MESSAGING_{name}", number) for name, number in settings.MESSAGING.items())
    yield from settings.ACCOUNTS.items()
    yield "RELAY_WORKERS", settings.RELAY_WORKERS
    yield "EMAIL_TIMEOUT", settings.EMAIL_TIMEOUT


def _import_problem(path: str) -> str:
    try:
        import_string(path)
    except ImportError as error:
        return f"{error}."
    return ""


def _error(number: str, problem: str, hint: str) -> checks.CheckMessage:
    return checks.Error(problem, hint=hint, id=f"shop.{number}")
