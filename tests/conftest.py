"""
No worker, no sleep, no network: `drain()` delivers everything due until it is quiet, in the test's own process.
"""

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.utils import timezone
from rest_framework.test import APIClient

from messaging import relay
from payments.gateway import protocol
from shop.http import throttling
from shop.settings.groups import ThrottlingSettings
from tests.factories import api_of
from tests.gateways import INSTANT, LedgerGateway
from tests.processes import outputs_since


@receiver(connection_created)
def _wait_for_no_disk(connection, **_) -> None:
    """
    Commit without waiting for the disk: these tests kill processes, but none cuts the power.
    """
    hurry = "SET synchronous_commit = off" if connection.vendor == "postgresql" else "PRAGMA synchronous = OFF"
    with connection.cursor() as cursor:
        cursor.execute(hurry)


@pytest.fixture(autouse=True)
def _mail_is_kept(settings):
    settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"


@pytest.fixture(autouse=True)
def _payments_are_instant(settings):
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=INSTANT)


@pytest.fixture(autouse=True)
def _passwords_are_cheap(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _nobody_is_throttled(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    settings.THROTTLING = ThrottlingSettings(
        account_per_minute=0, address_per_minute=0, failures_per_minute=0, failed_logins_per_quarter_hour=0
    )


@pytest.fixture
def at(monkeypatch) -> Callable[[float], None]:
    """
    Set the clock of the rate limits, in seconds since the beginning of a quarter of an hour.
    """
    beginning = 1_800_000_000

    def at(seconds: float) -> None:
        monkeypatch.setattr(throttling, "clock", lambda: beginning + seconds)

    at(0)
    return at


@pytest.fixture
def limits(settings, at) -> Callable[..., None]:
    """
    Set rate limits, and stop their clock; the other limits stay off.
    """

    def limits(**maxima: int) -> None:
        settings.THROTTLING = replace(settings.THROTTLING, **maxima)

    return limits


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Show with a failure what the test's processes wrote.
    """
    report = yield
    if report.failed:
        report.sections += outputs_since(call.start)
    return report


@pytest.fixture
def tell(request) -> Callable[[str], None]:
    """
    Say something at the end of the run, whichever process the test runs in and be its output captured or not.
    """
    return lambda line: request.node.user_properties.append(("told", line))


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [report for found in terminalreporter.stats.values() for report in found]
    for report in reports:
        if getattr(report, "when", "") == "teardown":
            for _, line in report.user_properties:
                terminalreporter.write_line(line)


@pytest.fixture
def api() -> APIClient:
    """
    A program of Ada's, with a token.
    """
    return api_of("ada")


@pytest.fixture
def drain() -> Callable[..., Counter]:
    """
    Deliver everything due; `drain(after=timedelta(...))` delivers what will be due by then.
    """

    def deliver(*, after: timedelta = timedelta()) -> Counter:
        return relay.drain(clock=lambda: timezone.now() + after, timeout=60)

    return deliver


@pytest.fixture
def ledger(monkeypatch) -> LedgerGateway:
    """
    Pay through a gateway that remembers.
    """
    remembering = LedgerGateway()
    monkeypatch.setattr(protocol, "current", lambda: remembering)
    return remembering
