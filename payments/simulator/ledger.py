"""
The ledger: an append-only SQLite table, in a file or in memory, which holds everything that the simulator knows.

An entry is stored before its effect is reported, so the process may be killed at any time and continues from the file.
Several processes may share one file, since a transaction locks it.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Self

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL, charge TEXT NOT NULL,
    key TEXT NOT NULL, reference TEXT NOT NULL, order_id TEXT NOT NULL,
    amount INTEGER CHECK (amount > 0), currency TEXT NOT NULL, reason TEXT NOT NULL,
    due TEXT, about INTEGER REFERENCES entries, detail TEXT NOT NULL
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
due IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entries AS closing WHERE closing.about = entries.seq) ORDER BY due, seq
"""
FAULTS = "SELECT reason, count(*) AS times FROM entries WHERE kind = 'faulted' GROUP BY reason ORDER BY reason"
KEY_OF = "SELECT charge FROM entries WHERE reference = ? AND kind IN ('charged', 'cancelled') LIMIT 1"

Clock = Callable[[], datetime]
utc_now: Clock = partial(datetime.now, UTC)


class EntryKind(StrEnum):
    DRAWN = "drawn"
    """The behaviour of a new charge was chosen; `reason` names it."""
    CHARGED = "charged"
    """The charge was accepted; with a due time, it is decided then."""
    CAPTURED = "captured"
    """Money moved, in the amount and currency of this entry."""
    DECLINED = "declined"
    CANCELLED = "cancelled"
    REFUND_OPENED = "refund opened"
    """A refund is processing; it succeeds when due."""
    REFUNDED = "refunded"
    REFUND_DECLINED = "refund declined"
    WEBHOOK = "callback"
    """A webhook is to be sent when due; `key` is its id, which several deliveries may share."""
    WEBHOOK_RESULT = "answered"
    """The shop's response to a webhook, or its absence; with a due time, the webhook is sent again then."""
    FAULTED = "faulted"
    """A fault took effect; `reason` names it."""


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """
    An entry with a due time is open until another entry is `about` it.
    """

    kind: EntryKind
    charge: str
    """The key of the charge that it belongs to."""
    key: str = ""
    """The idempotency key of a refund, or the id of a webhook."""
    reference: str = ""
    """The provider's id of a charge or a refund."""
    order_id: str = ""
    amount: int | None = None
    """In minor units."""
    currency: str = ""
    reason: str = ""
    due: datetime | None = None
    about: int | None = None
    """The `seq` of the open entry that this one closes."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: datetime
    seq: int = 0

    @classmethod
    def read(cls, row: sqlite3.Row) -> Self:
        values = dict(row)
        due = values.pop("due")
        return cls(
            kind=EntryKind(values.pop("kind")),
            at=datetime.fromisoformat(values.pop("at")),
            due=datetime.fromisoformat(due) if due else None,
            detail=json.loads(values.pop("detail")),
            **values,
        )

    def as_row(self) -> dict[str, Any]:
        due = sortable(self.due) if self.due else None
        return vars(self) | {"at": sortable(self.at), "due": due, "detail": json.dumps(self.detail)}


def sortable(moment: datetime) -> str:
    """
    Format a time so that texts sort as the times do.
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class LedgerClosed(Exception):
    """
    The ledger was closed because the simulator stops. Its open entries are processed after the next start.
    """


class Ledger:
    def __init__(self, path: Path | str = ":memory:", *, clock: Clock = utc_now) -> None:
        self.clock = clock
        self.on_due: Callable[[LedgerEntry], None] = lambda _: None
        """Called with each entry that has a due time, after its transaction."""
        self._lock = threading.RLock()
        self._new_due: list[LedgerEntry] = []
        self._is_closed = False
        self._connection = sqlite3.connect(path, timeout=20, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        # NORMAL survives the death of the process; a power cut may lose the latest entries.
        self._connection.executescript(
            f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; BEGIN IMMEDIATE; {SCHEMA} COMMIT;"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        Lock the ledger, and store all entries that the outermost block appends or none.

        :raises LedgerClosed: if the simulator stops.
        """
        with self._lock:
            if self._is_closed:
                raise LedgerClosed
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._new_due.clear()
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            new_due, self._new_due = self._new_due, []
        for entry in new_due:
            self.on_due(entry)

    def append(self, kind: EntryKind, charge: str, **values: Any) -> LedgerEntry:
        entry = LedgerEntry(kind=kind, charge=charge, at=self.clock(), **values)
        entry = replace(entry, seq=self._connection.execute(APPEND, entry.as_row()).lastrowid or 0)
        if entry.due:
            self._new_due.append(entry)
        return entry

    def select(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            if self._is_closed:
                raise LedgerClosed
            return self._connection.execute(query, values).fetchall()

    def entries(self, condition: str, *values: Any) -> Sequence[LedgerEntry]:
        """
        Return the entries that meet a condition in SQL, such as "kind = ?".
        """
        return [LedgerEntry.read(row) for row in self.select(f"SELECT * FROM entries WHERE {condition}", *values)]  # noqa: S608

    def entries_of(self, charge: str) -> Sequence[LedgerEntry]:
        return self.entries("charge = ? ORDER BY seq", charge)

    def is_closed(self, seq: int) -> bool:
        return bool(self.select("SELECT 1 FROM entries WHERE about = ?", seq))

    def open_entries(self) -> Sequence[LedgerEntry]:
        return self.entries(OPEN)

    def key_of(self, name: str) -> str:
        """
        Return the key of the charge with this reference; a name that is no reference is a key itself.
        """
        return next((row["charge"] for row in self.select(KEY_OF, name)), name)

    def faults(self) -> dict[str, int]:
        return {row["reason"]: row["times"] for row in self.select(FAULTS)}

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._connection.close()
