"""
Counts of what happened in a simulation, and the names of what must happen.
"""

from collections import Counter
from dataclasses import dataclass, field

RULES = {
    "order placed",
    "delivered once",
    "drained",
    "cancelled by customer",
    "part refunded",
    "all refunded",
    "too much refunded",
    "waiting charge approved",
    "waiting charge declined",
    "waiting charge captured less",
    "callback",
    "callback repeated",
    "callback altered",
    "captured after cancellation",
    "paid twice",
    "claims another amount",
    "claims a capture that was not",
    "claims a decline that was not",
    "callback about a stranger",
    "callback about another charge",
    "reconciled",
    "time passed",
    "dead letters replayed",
}

FAULTS = {
    "undecided cancel",
    "refused refund",
    *(
        f"{fault} {call}"
        for fault in ("unreachable", "request lost", "answer lost")
        for call in ("cancel", "charge", "look_up", "refund")
    ),
    *(
        f"{fate} {boundary}"
        for fate in ("crash before", "crash after", "asleep after")
        for boundary in ("commit", "claim", "charge", "look_up", "cancel", "refund", "mail")
    ),
}

ENDS = {
    "order confirmed",
    "order refunded",
    "order cancelled: out_of_stock",
    "order cancelled: payment_failed",
    "order cancelled: expired",
    "order cancelled: by_customer",
    "dead letter: WebhookUnmatched",
    "dead letter: WebhookDisputed",
    "forged capture reported",
}


@dataclass
class Statistics:
    lengths: Counter[int] = field(default_factory=Counter)
    """The number of complete runs, by their steps."""
    audits: int = 0
    runs_before_failure: int | None = None
    """The number of runs before the first that failed; None if none failed."""
    counts: Counter[str] = field(default_factory=Counter)

    def count(self, name: str) -> None:
        self.counts[name] += 1

    def note_failure(self, error: BaseException | None) -> None:
        """
        Note how a run ended; that Hypothesis discarded it is no failure.
        """
        if isinstance(error, Exception) and self.runs_before_failure is None:
            self.runs_before_failure = self.runs

    @property
    def runs(self) -> int:
        return self.lengths.total()

    def missing(self, expected: set[str]) -> list[str]:
        """
        Return which of these names were not counted.
        """
        return sorted(expected - self.counts.keys())

    def lines(self) -> list[str]:
        others = self.counts.keys() - RULES - FAULTS - ENDS
        groups = {"rules": RULES, "faults": FAULTS, "ends": ENDS, "others": others}
        failure = self.runs_before_failure
        return ([] if failure is None else [f"  the first run that failed came after {failure} others"]) + [
            f"  {group}: " + ", ".join(f"{name} {self.counts[name]}" for name in sorted(names))
            for group, names in groups.items()
        ]
