"""
The payment provider of a simulation, with planned faults and false webhooks.
"""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import product

from payments.gateway.protocol import Answer, ChargeRequest, RefundRequest, TimedOut, Unreachable
from payments.simulator import refunds
from payments.simulator.charges import ChargeRecord, KeyReused, NoSuchCharge, RefundCommand
from payments.simulator.ledger import Ledger, LedgerEntry
from payments.simulator.webhooks import Webhook, webhook_about
from tests.gateways import RecordingGateway

from .clock import Clock
from .process import Process


class Fault(StrEnum):
    UNREACHABLE = "unreachable"
    REQUEST_LOST = "request lost"
    """The provider receives nothing, and the caller does not know."""
    ANSWER_LOST = "answer lost"
    """The provider executes the request, and the caller does not know."""
    UNDECIDED = "undecided"
    """The provider neither cancels nor captures a pending charge yet."""
    REFUSED = "refused"


NOT_RECEIVED = {Fault.UNREACHABLE: Unreachable, Fault.REQUEST_LOST: TimedOut}
FAULTS = [
    *product(["cancel", "charge", "look_up", "refund"], [*NOT_RECEIVED, Fault.ANSWER_LOST]),
    ("cancel", Fault.UNDECIDED),
    ("refund", Fault.REFUSED),
]
"""Each fault with a call that it can strike."""

UNKNOWN = {"key": "unknown", "reference": "unknown"}
FORGED_CAPTURE = "claims a capture that was not"
FALSE_WEBHOOKS: Mapping[str, Mapping[str, object]] = {
    "claims another amount": {"amount": 1},
    FORGED_CAPTURE: {},
    "claims a decline that was not": {"status": "declined"},
    "callback about another charge": UNKNOWN,
    "callback about a stranger": UNKNOWN | {"order_id": ""},
}
"""Changes of a webhook that claims a capture."""


class SimulatedProvider(RecordingGateway):
    def __init__(self, clock: Clock, process: Process) -> None:
        super().__init__(Ledger(clock=clock))
        self.process, self.crossing = process, process.crossing
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        """Each strikes the next call of a kind, one after the other."""
        self.invalid_requests: list[str] = []
        """Requests that no shop should send."""
        self.forged: set[str] = set()
        """The keys of charges of the shop about which a webhook claimed a capture that was not made."""
        self.delivered: list[LedgerEntry] = []
        self._fault: Fault | None = None

    @contextmanager
    def calling(self, name: str) -> Iterator[None]:
        self._fault = fault = self.faults[name].popleft() if self.faults[name] else None
        if fault:
            self.process.statistics.count(f"{fault} {name}")
        with super().calling(name):
            if fault in NOT_RECEIVED:
                raise NOT_RECEIVED[fault](fault)
            yield
            if fault is Fault.ANSWER_LOST:
                raise TimedOut(fault)

    @property
    def undelivered(self) -> Sequence[LedgerEntry]:
        delivered = {webhook.seq for webhook in self.delivered}
        return [webhook for seq, webhook in self.webhooks.items() if seq not in delivered]

    def capture_elsewhere(self, key: str) -> None:
        """
        Let the customer pay the order of this charge again, by other means.
        """
        with self.ledger.transaction():
            self.processor.capture_elsewhere(self.processor.find(key).requested)

    def write_false_webhook(self, kind: str, *, order_id: str, key: str) -> LedgerEntry:
        """
        Write a webhook that is false or outdated about the charge with this key; without a key, about no charge.
        """
        now = self.ledger.clock()
        unknown = UNKNOWN | {"order_id": order_id, "amount": 100, "currency": "GBP"}
        data = webhook_about(self.processor.find(key), now).data if key else unknown
        if kind == FORGED_CAPTURE and key and key not in self.captured:
            self.forged.add(key)
        webhook = Webhook(data=data | {"status": "succeeded"} | FALSE_WEBHOOKS[kind], stated_at=now)
        with self.ledger.transaction():
            self.processor.schedule(webhook, ChargeRecord(key, ()))
        return self.undelivered[-1]

    def _charge(self, charge: ChargeRequest) -> Answer:
        with self._accepting(charge):
            return super()._charge(charge)

    def _cancel(self, charge: ChargeRequest) -> Answer:
        return self._look_up(charge) if self._fault is Fault.UNDECIDED else super()._cancel(charge)

    def _refund(self, request: RefundRequest) -> Answer:
        command = RefundCommand(key=request.idempotency_key, amount=request.amount, currency=request.currency)
        with self._accepting(request):
            if self._fault is Fault.REFUSED:
                refunds.refund(self.processor, request.charge_reference, command, declines_by="refused")
            return super()._refund(request)

    @contextmanager
    def _accepting(self, request: ChargeRequest | RefundRequest) -> Iterator[None]:
        try:
            yield
        except (KeyReused, NoSuchCharge) as error:
            self.invalid_requests.append(f"{request}: {error!r}")
            raise
