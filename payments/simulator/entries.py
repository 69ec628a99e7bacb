"""
What the ledger holds: one entry for each thing that happened, never changed and never taken out.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    DRAWN = "drawn"
    """The dice fell for a charge that was never heard of before: `reason` names its behaviour."""
    CHARGED = "charged"
    """The charge is remembered; if it has a due moment, its money moves then."""
    CAPTURED = "captured"
    """Money moved, in the amount and currency of this entry."""
    DECLINED = "declined"
    CANCELLED = "cancelled"
    REFUND_OPENED = "refund opened"
    """A refund that is still processing; it succeeds when due."""
    REFUNDED = "refunded"
    REFUND_DECLINED = "refund declined"
    CALLBACK = "callback"
    """The shop is to be called when due; `key` is the webhook's id, which several callbacks may share."""
    ANSWERED = "answered"
    """The shop answered a callback, or could not be reached; if it has a due moment, it is called again then."""
    FAULTED = "faulted"
    """A fault took effect: `reason` names it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """
    An entry with a due moment is open, and something has to follow, until another entry is `about` it.
    """

    kind: Kind
    charge: str
    """The key of the charge it belongs to."""
    key: str = ""
    """The idempotency key of a refund, or the id of a webhook."""
    reference: str = ""
    """The gateway's own name for a charge or a refund."""
    order_id: str = ""
    amount: int | None = None
    currency: str = ""
    reason: str = ""
    due: datetime | None = None
    about: int | None = None
    """The number of the open entry that this one closes."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: datetime
    seq: int = 0

    @classmethod
    def read(cls, row: sqlite3.Row) -> "Entry":
        """
        Read what `as_row` wrote.
        """
        told = dict(row)
        due = told.pop("due")
        return cls(
            kind=Kind(told.pop("kind")),
            at=datetime.fromisoformat(told.pop("at")),
            due=datetime.fromisoformat(due) if due else None,
            detail=json.loads(told.pop("detail")),
            **told,
        )

    def as_row(self) -> dict[str, Any]:
        """
        Write it as SQLite keeps it; the number is given there.
        """
        told = {name: value for name, value in vars(self).items() if name != "seq"}
        due = written(self.due) if self.due else None
        return told | {"kind": str(self.kind), "at": written(self.at), "due": due, "detail": json.dumps(self.detail)}


def written(moment: datetime) -> str:
    """
    Write a moment so that texts sort as the moments do.
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
