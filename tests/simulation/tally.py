"""
What really happened in a simulation, and what should have.
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
    "lost answer",
    "unreachable",
    "not charged",
    "captures another amount",
    "undecided",
    "refund refused",
    "refund's answer lost",
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
}


@dataclass
class Tally:
    lengths: Counter[int] = field(default_factory=Counter)
    """How many stories were told to the end, by their steps."""
    audits: int = 0
    ended_well: int | None = None
    """How many stories did before the first that did not, if one did not."""
    counts: Counter[str] = field(default_factory=Counter)

    def happened(self, what: str) -> None:
        self.counts[what] += 1

    def note(self, error: BaseException | None) -> None:
        """
        Write down what a story ended with; that Hypothesis gave it up is no error.
        """
        if isinstance(error, Exception) and self.ended_well is None:
            self.ended_well = self.runs

    @property
    def runs(self) -> int:
        return self.lengths.total()

    @property
    def steps(self) -> int:
        return sum(steps * runs for steps, runs in self.lengths.items())

    @property
    def never(self) -> list[str]:
        """
        List what never happened, and should have.
        """
        return sorted((RULES | FAULTS | ENDS) - self.counts.keys())

    def lines(self) -> list[str]:
        told = {"rules": RULES, "faults": FAULTS, "ends": ENDS, "beside": self.counts.keys() - RULES - FAULTS - ENDS}
        wrong = [] if self.ended_well is None else [f"  the first story that ended badly came after {self.ended_well}"]
        return wrong + [
            f"  {kind}: " + ", ".join(f"{name} {self.counts[name]}" for name in sorted(names))
            for kind, names in told.items()
        ]
