import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from payments.simulator.ledger import EntryKind, Ledger, LedgerClosed, LedgerEntry
from tests.payments.scripted_server import ScriptedServer
from tests.payments.simulator.bench import NOON
from tests.simulators import ApiClient, running
from tests.waiting import eventually

EARLIER_RELEASE = Path(__file__).parent / "ledger_of_an_earlier_release.sql"


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(clock=lambda: NOON)


@pytest.fixture
def earlier_path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(EARLIER_RELEASE.read_text())
    return path


class TestLedger:
    def test_stores_an_entry(self, ledger: Ledger) -> None:
        values = {"key": "msg_1", "amount": 4_500, "currency": "GBP", "detail": {"body": "{}"}, "due": NOON}
        with ledger.transaction():
            entry = ledger.append(EntryKind.WEBHOOK, "charge-1", **values)

        assert entry == LedgerEntry(kind=EntryKind.WEBHOOK, charge="charge-1", at=NOON, seq=1, **values)
        assert ledger.entries_of("charge-1") == [entry]

    @pytest.mark.parametrize("change", ["UPDATE entries SET amount = 1", "DELETE FROM entries"])
    def test_is_append_only(self, earlier_path: Path, change: str) -> None:
        for ledger in (Ledger(), Ledger(earlier_path)):
            with ledger.transaction():
                ledger.append(EntryKind.CAPTURED, "charge-1", amount=4_500, currency="GBP")

            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                ledger.select(change)
            ledger.close()

    @pytest.mark.parametrize("kind", [EntryKind.CHARGED, EntryKind.CAPTURED, EntryKind.REFUNDED])
    def test_moves_no_money_twice(self, ledger: Ledger, kind: EntryKind) -> None:
        def move() -> None:
            with ledger.transaction():
                ledger.append(kind, "charge-1", key="same")

        move()
        with pytest.raises(sqlite3.IntegrityError):
            move()

    def test_stores_nothing_of_a_failed_transaction(self, ledger: Ledger) -> None:
        due: list[LedgerEntry] = []
        ledger.on_due = due.append

        with suppress(ZeroDivisionError), ledger.transaction(), ledger.transaction():
            ledger.append(EntryKind.CHARGED, "charge-1", due=NOON)
            raise ZeroDivisionError

        assert (ledger.entries_of("charge-1"), due) == ([], [])

    def test_reports_due_entries_after_they_are_stored(self, ledger: Ledger) -> None:
        stored: list[bool] = []
        ledger.on_due = lambda entry: stored.append(bool(ledger.entries_of(entry.charge)))

        with ledger.transaction():
            ledger.append(EntryKind.CHARGED, "charge-1", due=NOON)
            assert stored == []

        assert stored == [True]

    def test_lists_open_entries_by_their_due_times(self, ledger: Ledger) -> None:
        with ledger.transaction():
            later = ledger.append(EntryKind.CHARGED, "later", due=NOON + timedelta(hours=1))
            sooner = ledger.append(EntryKind.CHARGED, "sooner", due=NOON)
            done = ledger.append(EntryKind.CHARGED, "done", due=NOON)
            ledger.append(EntryKind.CAPTURED, "done", about=done.seq)

        assert ledger.open_entries() == [sooner, later]

    def test_rejects_transactions_after_it_was_closed(self, ledger: Ledger) -> None:
        ledger.close()

        with pytest.raises(LedgerClosed), ledger.transaction():
            pass


class TestLedgerOfAnEarlierRelease:
    def test_is_continued(self, earlier_path: Path, shop: ScriptedServer) -> None:
        with running(ledger=earlier_path, callback_url=shop.url) as simulator:
            client = ApiClient(simulator.address)
            eventually(lambda: len(shop.requests) == 3)

            statuses = [client.status(key) for key in ("paid", "declined", "pending", "early", "open")]
            captures = client.get("/v1/statement").json()["captures"]
            refund = client.get("/v1/charges/paid/refunds/refund").json()

        assert statuses == ["succeeded", "declined", "processing", "cancelled", "succeeded"]
        captured = [(capture["charge_key"], capture["amount"]) for capture in captures]
        assert captured == [("paid", 4_500), ("open", 4_500)]
        assert (refund["status"], refund["reference"]) == ("succeeded", "sim_49f965124d2546e4ad759addaac08a7a")
        assert {webhook.body["data"]["key"] for webhook in shop.requests} == {"paid", "declined", "open"}
