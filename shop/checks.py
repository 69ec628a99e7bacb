"""
Settings that can be read but not meant: `manage.py check` names them, and commands do not start with them.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from babel.numbers import is_currency
from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

REDIS_SCHEMES = {"redis", "rediss", "unix"}
WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", re.ASCII)
INSTANT = "payments.gateway.adapters.instant.InstantGateway"
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
        check_gateway_timeout,
        check_webhook_secrets,
    ):
        checks.register(check)
    for check in (check_cache, check_operator, check_gateway_is_real):
        checks.register(check, deploy=True)


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


def check_gateway_timeout(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse to wait for the gateway until the worker that waits is ended. A call may take two: it asks, then charges.
    """
    timeout, limit = settings.PAYMENTS["TIMEOUT_SECONDS"], settings.MESSAGING["HANDLER_LIMIT_SECONDS"]
    if 0 < timeout * 2 <= limit:
        return []
    problem = f"The gateway may take {timeout} s to answer each of two calls, but a worker is ended after {limit} s."
    return [_error("E009", problem, "Set PAYMENT_TIMEOUT_SECONDS to at most half of MESSAGING_HANDLER_LIMIT_SECONDS.")]


def check_webhook_secrets(**_: Any) -> list[checks.CheckMessage]:
    """
    Refuse a gateway whose webhooks nobody could verify, or anybody could sign.
    """
    secrets = settings.PAYMENTS["WEBHOOK_SECRETS"]
    calls_back = settings.PAYMENTS["GATEWAY"] != INSTANT
    if all(WEBHOOK_SECRET.fullmatch(secret) for secret in secrets) and (secrets or not calls_back):
        return []
    problem = "A webhook secret is missing, too short, or unreadable."
    hint = "Set PAYMENT_WEBHOOK_SECRETS to what the gateway gave you: whsec_ and at least 24 bytes in base64."
    return [_error("E010", problem, hint)]


def check_operator(**_: Any) -> list[checks.CheckMessage]:
    """
    Warn, before the shop is deployed, that nobody would hear of money that came late, twice or wrong.
    """
    if settings.OPERATOR_EMAIL:
        return []
    problem = "Nobody is told of payments that need a person."
    return [checks.Warning(problem, hint="Set OPERATOR_EMAIL.", id="shop.W002")]


def check_gateway_is_real(**_: Any) -> list[checks.CheckMessage]:
    """
    Warn, before the shop is deployed, of a gateway that moves no money.
    """
    if settings.PAYMENTS["GATEWAY"] not in {INSTANT, settings.SIMULATOR}:
        return []
    problem = "Payments are only simulated: nobody pays anything."
    return [checks.Warning(problem, hint="Set PAYMENT_GATEWAY to the adapter of a real gateway.", id="shop.W003")]


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
    yield "PAYMENT_WEBHOOK_PARKING_SECONDS", settings.PAYMENTS["WEBHOOK_PARKING_SECONDS"]


def _import_problem(path: str) -> str:
    try:
        import_string(path)
    except ImportError as error:
        return f"{error}."
    return ""


def _error(number: str, problem: str, hint: str) -> checks.CheckMessage:
    return checks.Error(problem, hint=hint, id=f"shop.{number}")
