import pytest

from tests.shop.operations.audit.day import Day, live_a_day


@pytest.fixture
def day(db) -> Day:
    return live_a_day()
