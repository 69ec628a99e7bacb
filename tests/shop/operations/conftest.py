from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

import pytest
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from messaging import inbox, sending, subscribers
from shop.settings.groups import CONTEXTS, NotificationSettings
from shop.settings.storage import TEMPORARY_ALIAS
from tests.gateways import INSTANT
from tests.shop.operations.audit.day import live_a_day
from tests.shop.operations.services import DayInServices, Services, copied, divided, operating, using


@pytest.fixture(scope="session")
def day_in_services(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[DayInServices]:
    """A day, in one database and in those of four services. Tests leave them as they are."""
    folder = tmp_path_factory.mktemp("services")
    quiet = {
        "EMAIL_BACKEND": "anymail.backends.test.EmailBackend",
        "NOTIFICATIONS": NotificationSettings(sms_backend="notifications.sms.backends.memory.SmsBackend"),
        "PAYMENTS": replace(settings.PAYMENTS, gateway=INSTANT),
    }
    with django_db_blocker.unblock(), ExitStack() as stack:
        [whole] = stack.enter_context(copied(folder, ["whole"]))
        with using({DEFAULT_DB_ALIAS: whole}), override_settings(**quiet):
            day = live_a_day()
            services = stack.enter_context(divided(folder, *((context,) for context in CONTEXTS)))
        yield DayInServices(day=day, whole=whole, services=services)


@pytest.fixture
def services(day_in_services, db) -> Services:
    return day_in_services.services


@pytest.fixture
def bob(day_in_services):
    return day_in_services.day.bob


@pytest.fixture
def transport(monkeypatch) -> None:
    """The subscribers that send and receive, which an operator's process registers."""
    monkeypatch.setattr(subscribers, "_registry", subscribers.all_subscribers())
    sending.register()
    inbox.register()


@pytest.fixture
def operator(services, transport) -> Iterator[Mapping[str, BaseDatabaseWrapper]]:
    """The connections of an operator's process by alias, which this process is. What they write is rolled back."""
    with operating(services.databases) as opened, ExitStack() as stack:
        for alias in opened.keys() - {TEMPORARY_ALIAS}:
            stack.enter_context(transaction.atomic(alias))
            stack.callback(transaction.set_rollback, True, alias)  # noqa: FBT003
        yield opened
