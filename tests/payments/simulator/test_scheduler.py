import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from payments.simulator.ledger import EntryKind, Ledger, LedgerEntry
from payments.simulator.scheduler import Scheduler
from tests.waiting import eventually


class Processed(list[str]):
    def add(self, entry: LedgerEntry) -> None:
        if entry.charge == "broken":
            raise ZeroDivisionError
        self.append(entry.charge)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def processed(ledger: Ledger) -> Iterator[Processed]:
    processed = Processed()
    scheduler = Scheduler(ledger, {EntryKind.CHARGED: processed.add})
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    yield processed
    scheduler.stop()
    thread.join()


def schedule(ledger: Ledger, *names: str, after: float = 0) -> None:
    with ledger.transaction():
        for name in names:
            ledger.append(EntryKind.CHARGED, name, due=datetime.now(UTC) + timedelta(seconds=after))


class TestScheduler:
    def test_processes_entries_in_the_order_of_their_due_times(self, ledger: Ledger, processed: Processed) -> None:
        with ledger.transaction():
            for name, seconds in [("third", 0.1), ("first", -60), ("second", 0.05)]:
                schedule(ledger, name, after=seconds)

        eventually(lambda: len(processed) == 3)
        assert processed == ["first", "second", "third"]

    def test_continues_after_a_failure(self, ledger: Ledger, processed: Processed) -> None:
        schedule(ledger, "broken", "next")

        eventually(lambda: processed == ["next"])

    def test_wakes_up_for_an_entry_that_is_due_sooner(self, ledger: Ledger, processed: Processed) -> None:
        schedule(ledger, "in an hour", after=3_600)
        schedule(ledger, "now")

        eventually(lambda: processed == ["now"])

    def test_ends_when_the_ledger_is_closed(self, ledger: Ledger) -> None:
        schedule(ledger, "open")
        scheduler = Scheduler(ledger, {EntryKind.CHARGED: lambda entry: ledger.is_closed(entry.seq)})
        ledger.close()

        scheduler.run()
