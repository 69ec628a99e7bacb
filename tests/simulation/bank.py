"""
The gateway of a simulation: a bank with its own ledger, which calls back about everything and fails when it is told to.

It is the outside world: it survives whatever happens to our processes and our database.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import count

from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    Money,
    Outcome,
    RefundRequest,
    StatementEntry,
    TimedOut,
    Unreachable,
    WebhookPayload,
)

from .clock import Clock
from .faults import Fault, Faults
from .process import Process

CLAIMS: Mapping[str, Mapping[str, object]] = {
    "claims another amount": {"outcome": Outcome.SUCCEEDED, "amount": 1},
    "claims a capture that was not": {"outcome": Outcome.SUCCEEDED},
    "claims a decline that was not": {"outcome": Outcome.DECLINED},
}
LIES = CLAIMS | {
    "callback about another charge": {"outcome": Outcome.SUCCEEDED},
    "callback about a stranger": {"outcome": Outcome.SUCCEEDED, "order": ""},
}
"""What a webhook may claim, though it is not true, or not any more."""


SEVERAL = 2


@dataclass
class Entry:
    """
    What the bank's ledger has of one charge.
    """

    key: str
    order_id: str
    reference: str
    amount: int
    currency: str
    payment_method: str = "tok_visa"
    outcome: Outcome = Outcome.PROCESSING
    is_ours: bool = True
    was_asked_for: bool = True
    """Not only cancelled before it came."""
    captures: list[datetime] = field(default_factory=list)
    repaid: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    @property
    def stays(self) -> int:
        return self.amount * len(self.captures) - sum(self.repaid.values())

    @property
    def answer(self) -> Answer:
        captured = Money(self.amount, self.currency) if self.captures else None
        return Answer(outcome=self.outcome, reference=self.reference, captured=captured)


class Bank:
    def __init__(self, clock: Clock, process: Process, faults: Faults) -> None:
        self.clock, self.process, self.faults = clock, process, faults
        self.entries: dict[str, Entry] = {}
        """By idempotency key."""
        self.owed: list[bytes] = []
        """The webhooks that were not delivered yet."""
        self.told: list[bytes] = []
        self.blunders: list[str] = []
        """What no shop should ever ask of a bank."""
        self.lies = 0
        self._numbers = count(1)

    def charge(self, charge: ChargeRequest) -> Answer:
        return self._call("charge", lambda fault: self._charge(charge, fault))

    def look_up(self, charge: ChargeRequest) -> Answer:
        return self._call("look_up", lambda fault: self._answer(charge))

    def cancel(self, charge: ChargeRequest) -> Answer:
        return self._call("cancel", lambda fault: self._cancel(charge, fault))

    def refund(self, request: RefundRequest) -> Answer:
        return self._call("refund", lambda fault: self._refund(request, fault))

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        said = json.loads(body)
        return WebhookPayload(
            event_id=said["id"],
            fingerprint=sha256(body).hexdigest(),
            charge_key=said["key"],
            order_id=said["order"],
            reference=said["reference"],
            outcome=Outcome(said["outcome"]),
            claimed=Money(said["amount"], said["currency"]),
        )

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        return [_booking(entry) for entry in self.entries.values() if entry.captures]

    def of_order(self, order_id: str) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.order_id == order_id]

    def those(self, *outcomes: Outcome) -> list[Entry]:
        """
        List what we asked for and became of it, oldest first.
        """
        return [it for it in self.entries.values() if it.outcome in outcomes and it.is_ours and it.was_asked_for]

    @property
    def paid_once(self) -> list[Entry]:
        return [entry for entry in self.those(*Outcome) if len(self.of_order(entry.order_id)) == 1]

    @property
    def refundable(self) -> list[Entry]:
        """
        List what was captured, except what was refunded so often that once more would be more of the same.
        """
        return [entry for entry in self.those(Outcome.SUCCEEDED) if len(entry.repaid) < SEVERAL]

    def decide(self, entry: Entry, outcome: Outcome) -> None:
        """
        Capture or decline a charge, whatever became of it before, and owe the webhook.
        """
        entry.outcome = outcome
        if outcome is Outcome.SUCCEEDED:
            entry.captures.append(self.clock())
        self.owe(entry)

    def capture_another(self, entry: Entry) -> None:
        """
        Let the customer pay the same order once more, by other means.
        """
        number = next(self._numbers)
        another = Entry(f"elsewhere-{number}", entry.order_id, f"ch-{number}", entry.amount, entry.currency)
        another.is_ours = False
        self.entries[another.key] = another
        self.decide(another, Outcome.SUCCEEDED)

    def owe(self, entry: Entry, **otherwise: object) -> bytes:
        """
        Write a webhook of what became of a charge, or that claims otherwise.
        """
        said = {
            "id": f"evt-{next(self._numbers)}",
            "key": entry.key,
            "order": entry.order_id,
            "reference": entry.reference,
            "outcome": entry.outcome,
            "amount": entry.amount,
            "currency": entry.currency,
        }
        self.owed.append(json.dumps(said | otherwise).encode())
        return self.owed[-1]

    def lie(self, order_id: str, lie: str) -> bytes:
        """
        Owe a webhook that is not true: of this order's charge, of another one for it, or of one for no order at all.
        """
        self.lies += 1
        number = next(self._numbers)
        stranger = Entry(f"stranger-{number}", order_id, f"ch-{number}", 100, "GBP")
        known = self.of_order(order_id) if lie in CLAIMS else []
        return self.owe(known[0] if known else stranger, **LIES[lie])

    def _call(self, name: str, act: Callable[[Fault | None], Answer]) -> Answer:
        fault = self.faults.strike(name)
        with self.process.crossing(name):
            if fault is Fault.UNREACHABLE:
                raise Unreachable("The bank could not be reached.")
            if fault is Fault.NOT_CHARGED:
                raise TimedOut("The bank was not asked, and nobody knows.")
            answer = act(fault)
            if fault in {Fault.LOST_ANSWER, Fault.REFUND_ANSWER_LOST}:
                raise TimedOut("The bank did as asked, and nobody knows.")
            return answer

    def _charge(self, charge: ChargeRequest, fault: Fault | None) -> Answer:
        if charge.idempotency_key not in self.entries:
            entry = self._open(charge)
            entry.amount -= fault is Fault.ANOTHER_AMOUNT
            decided = {"tok_visa": Outcome.SUCCEEDED, "tok_declined": Outcome.DECLINED}
            if charge.payment_method in decided:
                self.decide(entry, decided[charge.payment_method])
        return self._answer(charge)

    def _answer(self, charge: ChargeRequest) -> Answer:
        entry = self.entries.get(charge.idempotency_key)
        return entry.answer if entry else Answer(outcome=Outcome.ABSENT)

    def _cancel(self, charge: ChargeRequest, fault: Fault | None) -> Answer:
        was_asked_for = charge.idempotency_key in self.entries
        entry = self.entries.get(charge.idempotency_key) or self._open(charge, was_asked_for=was_asked_for)
        if entry.outcome is Outcome.PROCESSING and fault is not Fault.UNDECIDED:
            self.decide(entry, Outcome.CANCELLED)
        return entry.answer

    def _refund(self, request: RefundRequest, fault: Fault | None) -> Answer:
        key, amount = request.idempotency_key, request.amount
        found = [entry for entry in self.entries.values() if entry.reference == request.charge_reference]
        if not found or (key not in found[0].repaid and amount > found[0].stays):
            self.blunders.append(f"{request} is not there to be given back")
            return Answer(outcome=Outcome.DECLINED, reason="not_there")
        [entry] = found
        if key not in entry.repaid and (key in entry.refused or fault is Fault.REFUND_REFUSED):
            entry.refused[key] = amount
            return Answer(outcome=Outcome.DECLINED, reason="refused")
        entry.repaid[key] = amount
        return Answer(outcome=Outcome.SUCCEEDED, reference=f"re-{key}")

    def _open(self, charge: ChargeRequest, *, was_asked_for: bool = True) -> Entry:
        number = next(self._numbers)
        entry = Entry(
            key=charge.idempotency_key,
            order_id=charge.order_id,
            reference=f"ch-{number}",
            amount=charge.amount,
            currency=charge.currency,
            payment_method=charge.payment_method,
            was_asked_for=was_asked_for,
        )
        self.entries[entry.key] = entry
        return entry


def _booking(entry: Entry) -> StatementEntry:
    return StatementEntry(
        charge_key=entry.key,
        order_id=entry.order_id,
        reference=entry.reference,
        captured=Money(entry.amount, entry.currency),
        captured_at=entry.captures[0],
        refunds=dict(entry.repaid),
    )
