"""
The ledger: an append-only table in a SQLite file of its own, all that the simulator knows.

Whatever was answered is in it first, so the process may be killed at any moment and go on from the file. Several
processes may even share one, since a turn holds the file.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .entries import Entry, Kind

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    charge TEXT NOT NULL,
    key TEXT NOT NULL,
    reference TEXT NOT NULL,
    order_id TEXT NOT NULL,
    amount INTEGER CHECK (amount > 0),
    currency TEXT NOT NULL,
    reason TEXT NOT NULL,
    due TEXT,
    about INTEGER REFERENCES entries,
    detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_of_charge ON entries (charge, seq);
CREATE INDEX IF NOT EXISTS entries_of_kind ON entries (kind, seq);
CREATE INDEX IF NOT EXISTS entries_by_reference ON entries (reference) WHERE reference != '';
CREATE INDEX IF NOT EXISTS entries_with_due ON entries (due) WHERE due IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS closed_once ON entries (about) WHERE about IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS charged_once ON entries (charge) WHERE kind = 'charged';
CREATE UNIQUE INDEX IF NOT EXISTS captured_once ON entries (charge) WHERE kind = 'captured';
CREATE UNIQUE INDEX IF NOT EXISTS refunded_once ON entries (charge, key) WHERE kind = 'refunded';
CREATE TRIGGER IF NOT EXISTS never_updated BEFORE UPDATE ON entries
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only.'); END;
CREATE TRIGGER IF NOT EXISTS never_deleted BEFORE DELETE ON entries
    BEGIN SELECT RAISE(ABORT, 'The ledger is append-only.'); END;
"""

APPEND = """
INSERT INTO entries (at, kind, charge, key, reference, order_id, amount, currency, reason, due, about, detail)
VALUES (:at, :kind, :charge, :key, :reference, :order_id, :amount, :currency, :reason, :due, :about, :detail)
"""
OPEN = """
SELECT * FROM entries AS open WHERE due IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM entries AS closing WHERE closing.about = open.seq) ORDER BY due, seq
"""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Closed(Exception):
    """
    The ledger was closed because the simulator stops; what is open in it goes on when it starts again.
    """


class Ledger:
    def __init__(self, path: Path | str, *, clock: Clock = utc_now) -> None:
        self.clock = clock
        self.on_due: Callable[[Entry], None] = lambda _: None
        """Told of every entry with a due moment, once it is in the file."""
        self._lock = threading.RLock()
        self._fresh: list[Entry] = []
        self._is_closed = False
        self._connection = sqlite3.connect(path, timeout=20, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        # NORMAL survives the death of the process; only a power cut may take the latest entries along.
        self._connection.executescript(
            f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE; {SCHEMA} COMMIT;"
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        """
        Decide and write alone: all entries of the block are kept, or none.

        :raises Closed: if the simulator stops.
        """
        with self._lock:
            self._require_open()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._fresh.clear()
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            fresh, self._fresh = self._fresh, []
        for entry in fresh:
            self.on_due(entry)

    def append(self, kind: Kind, charge: str, **told: Any) -> Entry:
        """
        Write an entry, in a turn.
        """
        entry = Entry(kind=kind, charge=charge, at=self.clock(), **told)
        entry = replace(entry, seq=self._connection.execute(APPEND, entry.as_row()).lastrowid or 0)
        if entry.due:
            self._fresh.append(entry)
        return entry

    def select(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """
        Read entries, or what is computed from them.

        :raises Closed: if the simulator stops.
        """
        with self._lock:
            self._require_open()
            return self._connection.execute(query, values).fetchall()

    def entries_of(self, charge: str) -> list[Entry]:
        return [Entry.read(row) for row in self.select("SELECT * FROM entries WHERE charge = ? ORDER BY seq", [charge])]

    def entry(self, seq: int) -> Entry:
        [row] = self.select("SELECT * FROM entries WHERE seq = ?", [seq])
        return Entry.read(row)

    def latest(self, kind: Kind) -> Entry | None:
        rows = self.select("SELECT * FROM entries WHERE kind = ? ORDER BY seq DESC LIMIT 1", [kind])
        return Entry.read(rows[0]) if rows else None

    def is_done(self, seq: int) -> bool:
        """
        Tell whether something followed an entry that was due.
        """
        return bool(self.select("SELECT 1 FROM entries WHERE about = ?", [seq]))

    def open_entries(self) -> list[Entry]:
        """
        List what has yet to follow, the first due first.
        """
        return [Entry.read(row) for row in self.select(OPEN)]

    def key_of(self, name: str) -> str:
        """
        Find the key of a charge by its reference; what is no reference is a key itself.
        """
        query = "SELECT charge FROM entries WHERE reference = ? AND kind IN ('charged', 'cancelled') LIMIT 1"
        rows = self.select(query, [name])
        return rows[0]["charge"] if rows else name

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._connection.close()

    def _require_open(self) -> None:
        if self._is_closed:
            raise Closed("The simulator stops.")
