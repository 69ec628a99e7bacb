"""
Fixtures for every test. No worker, no sleep, no network: `drain()` delivers everything due, in the test's own process.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from django.db import connection
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from messaging import relay
from messaging.kernel.process_locks import process_lock, remove_lock
from messaging.kernel.redaction import JsonFormatter, RedactingFormatter
from messaging.models import Worker
from notifications import sms
from payments.gateway import protocol
from shop.http import throttling
from shop.settings.groups import NotificationSettings, ThrottlingSettings
from tests.database import delete_rows_after_transactional_tests
from tests.factories import CustomerFactory, api_of
from tests.gateways import INSTANT, RecordingGateway
from tests.messaging.concurrency import PATIENCE_SECONDS, in_thread
from tests.processes import outputs_since

delete_rows_after_transactional_tests()


@receiver(connection_created)
def _commit_without_fsync(connection, **_) -> None:
    """Commit without waiting for the disk: these tests kill processes, but do not cut the power."""
    statement = "SET synchronous_commit = off" if connection.vendor == "postgresql" else "PRAGMA synchronous = OFF"
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture(autouse=True)
def _test_settings(settings):
    """Keep mail, pay at once, hash passwords fast, throttle no request, and cap no notification."""
    settings.EMAIL_BACKEND = "anymail.backends.test.EmailBackend"
    settings.NOTIFICATIONS = NotificationSettings(
        sms_backend="notifications.sms.backends.memory.SmsBackend", per_recipient_per_hour=0, per_hour=0
    )
    sms.outbox.clear()
    settings.PAYMENTS = replace(settings.PAYMENTS, gateway=INSTANT)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    settings.THROTTLING = ThrottlingSettings(
        account_per_minute=0,
        address_per_minute=0,
        failures_per_minute=0,
        failed_logins_per_quarter_hour=0,
        account_mails_per_address_per_hour=0,
        account_mails_per_recipient_per_hour=0,
    )


def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores: some tests wait for processes, and all for the database."""
    return os.cpu_count() + 1


SLOWEST = (
    *("tests/simulation/", "tests/concurrency/", "tests/shop/management/test_up.py", "tests/access/test_matrix.py"),
    *(
        "tests/shop/openapi/test_contract.py",
        "tests/shop/operations/management/test_import_survives.py",
        "tests/bench/",
    ),
    *("tests/upgrade/", "tests/fuzz/", "tests/shop/test_tutorials.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slowest tests first, in this order, so that no worker runs one of them alone at the end."""

    def rank(item: pytest.Item) -> int:
        return next((at for at, path in enumerate(SLOWEST) if item.nodeid.startswith(path)), len(SLOWEST))

    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the output of a failed test's processes."""
    report = yield
    if report.failed:
        report.sections += outputs_since(call.start)
    return report


@pytest.fixture
def summarize(request) -> Callable[[str], None]:
    """Print a line at the end of the run, whichever process runs the test and whether its output is captured or not."""
    return lambda line: request.node.user_properties.append(("summary", line))


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [report for of_outcome in terminalreporter.stats.values() for report in of_outcome]
    for report in reports:
        if getattr(report, "when", "") == "teardown":
            for _, line in report.user_properties:
                terminalreporter.write_line(line)


@pytest.fixture
def ada(db) -> AbstractUser:
    """Ada, a customer who can log in with PASSWORD."""
    return CustomerFactory()


@pytest.fixture
def browser(ada) -> Client:
    """A browser in which Ada is logged in."""
    client = Client(headers={"Accept": "text/html"})
    client.force_login(ada)
    return client


@pytest.fixture
def api() -> APIClient:
    """A client with a token of Ada."""
    return api_of("ada")


@pytest.fixture
def drain() -> Callable[..., Counter]:
    """Deliver everything due; `drain(after=timedelta(...))` delivers what will be due by then."""

    def deliver(*, after: timedelta = timedelta()) -> Counter:
        return relay.drain(clock=lambda: timezone.now() + after, timeout=60)

    return deliver


@pytest.fixture
def outage(monkeypatch) -> Iterator[ThreadPoolExecutor]:
    """Put the database out of reach of new connections, and return a pool with a thread of its own."""
    unreachable = {"NAME": "/no/such/folder/shop.sqlite3"} if connection.vendor == "sqlite" else {"PORT": 1}
    for name, value in unreachable.items():
        monkeypatch.setitem(connection.settings_dict, name, value)
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A live worker. Its lock is held over another connection, as that of another process."""
    worker = Worker.objects.create(host="shop.example", process=4711, started_at=timezone.now())
    is_held, end = threading.Event(), threading.Event()

    def hold_lock() -> None:
        with process_lock(worker.number):
            is_held.set()
            end.wait(PATIENCE_SECONDS)

    with in_thread(hold_lock):
        is_held.wait(PATIENCE_SECONDS)
        yield worker
        end.set()
    remove_lock(worker.number)


@pytest.fixture
def ledger(monkeypatch) -> RecordingGateway:
    """Pay through the simulated provider in this process."""
    gateway = RecordingGateway()
    monkeypatch.setattr(protocol, "current", lambda: gateway)
    return gateway


@pytest.fixture
def at(monkeypatch) -> Callable[[float], None]:
    """Set the clock of the rate limits, in seconds since the beginning of a quarter of an hour."""
    beginning = 1_800_000_000

    def at(seconds: float) -> None:
        monkeypatch.setattr(throttling, "clock", lambda: beginning + seconds)

    at(0)
    return at


@pytest.fixture
def limits(settings, at) -> Callable[..., None]:
    """Set rate limits, and stop their clock; the other limits stay off."""

    def limits(**maxima: int) -> None:
        settings.THROTTLING = replace(settings.THROTTLING, **maxima)

    return limits


@pytest.fixture
def log(settings) -> Iterator[list[str]]:
    """Return the lines of the log at its lowest level, formatted in both ways in which the shop formats them."""
    lines: list[str] = []
    text = RedactingFormatter(settings.LOGGING["formatters"]["text"]["format"].replace("[%(ids)s]", ""))
    formatters = (text, JsonFormatter())
    handler = logging.Handler()
    handler.emit = lambda record: lines.extend(formatter.format(record) for formatter in formatters)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)
