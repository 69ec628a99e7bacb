import sqlite3
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from payments.simulator.entries import Entry, Kind
from payments.simulator.ledger import Closed, Ledger
from tests.payments.simulator.benches import NOON, Bench


@pytest.fixture
def ledger(ledger_path: Path) -> Ledger:
    return Ledger(ledger_path, clock=lambda: NOON)


class TestLedger:
    def test_keeps_an_entry_as_it_was_written(self, ledger: Ledger) -> None:
        told = {"key": "msg_1", "amount": 4_500, "currency": "GBP", "detail": {"body": "{}"}, "due": NOON}
        with ledger.turn():
            entry = ledger.append(Kind.CALLBACK, "charge-1", **told)

        assert entry == Entry(kind=Kind.CALLBACK, charge="charge-1", at=NOON, seq=1, **told)
        assert ledger.entries_of("charge-1") == [entry]

    @pytest.mark.parametrize("change", ["UPDATE entries SET amount = 1", "DELETE FROM entries"])
    def test_lets_nobody_change_the_past(self, ledger: Ledger, ledger_path: Path, change: str) -> None:
        with ledger.turn():
            ledger.append(Kind.CAPTURED, "charge-1", amount=4_500, currency="GBP")

        with sqlite3.connect(ledger_path) as somebody, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            somebody.execute(change)

    @pytest.mark.parametrize("kind", [Kind.CHARGED, Kind.CAPTURED, Kind.REFUNDED])
    def test_moves_no_money_twice(self, ledger: Ledger, kind: Kind) -> None:
        def move() -> None:
            with ledger.turn():
                ledger.append(kind, "charge-1", key="same")

        move()
        with pytest.raises(sqlite3.IntegrityError):
            move()

    def test_keeps_nothing_of_a_turn_that_failed(self, ledger: Ledger) -> None:
        noted: list[Entry] = []
        ledger.on_due = noted.append

        with suppress(ZeroDivisionError), ledger.turn():
            ledger.append(Kind.CHARGED, "charge-1", due=NOON)
            raise ZeroDivisionError

        assert (ledger.entries_of("charge-1"), noted) == ([], [])

    def test_tells_what_is_due_once_it_is_written(self, ledger: Ledger) -> None:
        seen: list[bool] = []
        ledger.on_due = lambda entry: seen.append(bool(ledger.entries_of(entry.charge)))

        with ledger.turn():
            ledger.append(Kind.CHARGED, "charge-1", due=NOON)
            assert seen == []

        assert seen == [True]

    def test_knows_what_has_yet_to_follow(self, ledger: Ledger) -> None:
        with ledger.turn():
            later = ledger.append(Kind.CHARGED, "later", due=NOON + timedelta(hours=1))
            sooner = ledger.append(Kind.CHARGED, "sooner", due=NOON)
            done = ledger.append(Kind.CHARGED, "done", due=NOON)
            ledger.append(Kind.CAPTURED, "done", about=done.seq)

        assert ledger.open_entries() == [sooner, later]

    def test_finds_a_charge_by_its_reference(self, bench: Bench) -> None:
        reference = bench.charge().charge.reference

        assert bench.ledger.key_of(reference) == "charge-1"
        assert bench.ledger.key_of("anything else") == "anything else"

    def test_takes_nothing_after_it_was_closed(self, ledger: Ledger) -> None:
        ledger.close()

        with pytest.raises(Closed), ledger.turn():
            pass
