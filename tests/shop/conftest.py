from collections.abc import Iterator

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from tests.shop.operations.audit.day import Day, live_a_day


@pytest.fixture
def day(db) -> Day:
    return live_a_day()


@pytest.fixture
def connection_stays_open() -> Iterator[None]:
    """
    Serve requests to the WSGI application within the test's own transaction, as Django's test client does.
    """
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
