import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from payments.simulator.entries import Entry, Kind
from payments.simulator.ledger import Ledger
from payments.simulator.timetable import Timetable
from tests.waiting import eventually


class Followed(list[str]):
    """
    What was followed up, except what breaks.
    """

    def take(self, entry: Entry) -> None:
        if entry.charge == "broken":
            raise ZeroDivisionError
        self.append(entry.charge)


@pytest.fixture
def ledger(ledger_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(ledger_path)
    yield ledger
    ledger.close()


@pytest.fixture
def followed(ledger: Ledger) -> Iterator[Followed]:
    followed = Followed()
    timetable = Timetable(ledger, {Kind.CHARGED: followed.take})
    timetable.resume()
    thread = threading.Thread(target=timetable.run)
    thread.start()
    yield followed
    timetable.stop()
    thread.join()


def due(ledger: Ledger, *names: str, after: float = 0) -> None:
    with ledger.turn():
        for name in names:
            ledger.append(Kind.CHARGED, name, due=datetime.now(UTC) + timedelta(seconds=after))


class TestTimetable:
    def test_follows_up_in_the_order_of_due_moments(self, ledger: Ledger, followed: Followed) -> None:
        with ledger.turn():
            due_at = datetime.now(UTC)
            for name, seconds in [("third", 0.1), ("first", -60), ("second", 0.05)]:
                ledger.append(Kind.CHARGED, name, due=due_at + timedelta(seconds=seconds))

        eventually(lambda: len(followed) == 3)
        assert followed == ["first", "second", "third"]

    def test_goes_on_after_one_that_broke(self, ledger: Ledger, followed: Followed) -> None:
        due(ledger, "broken", "next")

        eventually(lambda: followed == ["next"])

    def test_hurries_for_what_is_due_sooner(self, ledger: Ledger, followed: Followed) -> None:
        due(ledger, "in an hour", after=3_600)
        due(ledger, "now")

        eventually(lambda: followed == ["now"])

    def test_takes_up_what_was_open_before(self, ledger: Ledger) -> None:
        due(ledger, "left over")
        followed = Followed()
        timetable = Timetable(ledger, {Kind.CHARGED: followed.take})

        timetable.resume()
        timetable.run_due()

        assert followed == ["left over"]

    def test_ends_with_the_ledger(self, ledger: Ledger) -> None:
        due(ledger, "left over")
        timetable = Timetable(ledger, {Kind.CHARGED: lambda entry: ledger.is_done(entry.seq)})
        timetable.resume()
        ledger.close()

        timetable.run()
