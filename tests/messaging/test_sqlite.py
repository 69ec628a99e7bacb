import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from unittest.mock import patch

import pytest
from django.db import OperationalError, connection, transaction

from inventory.models import StockItem

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has more than one writer"),
]


@contextmanager
def another_writer() -> Iterator[sqlite3.Connection]:
    """
    A connection of another process, in a transaction.
    """
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        other.close()


def in_a_transaction() -> None:
    with transaction.atomic():
        StockItem.objects.update(on_hand=1)


def outside_a_transaction() -> None:
    StockItem.objects.update(on_hand=1)


def seconds_late(write: Callable[[], None], *, held: float) -> float:
    """
    Return how long after the end of another transaction a write ends that waited for it.
    """
    ends = []
    with another_writer() as other:

        def end() -> None:
            ends.append(time.monotonic())
            other.rollback()

        Timer(held, end).start()
        write()
        return time.monotonic() - ends[0]


@pytest.mark.parametrize("write", [in_a_transaction, outside_a_transaction])
def test_a_write_begins_soon_after_the_transaction_that_it_waited_for(write):
    # SQLite's own waiting ends 228 and 328 ms after its beginning.
    assert min(seconds_late(write, held=0.24) for _ in range(3)) < 0.05


@pytest.mark.parametrize("write", [in_a_transaction, outside_a_transaction])
def test_a_write_waits_no_longer_than_the_timeout(write):
    impatient = patch.dict(connection.settings_dict["OPTIONS"], timeout=0.1)
    with impatient, another_writer(), pytest.raises(OperationalError, match="database is locked"):
        write()

    write()
