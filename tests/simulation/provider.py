"""
The payment provider of a simulation: the simulator's core in this process, with scripted faults and false webhooks.

As a program of another company it survives a crash of our processes and a rollback of our database.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from payments.gateway.adapters.in_process import InProcessGateway
from payments.gateway.adapters.simulated import read_payload
from payments.gateway.protocol import Answer, ChargeRequest, RefundRequest, TimedOut, Unreachable, WebhookPayload
from payments.simulator import refunds
from payments.simulator.charges import ChargeRecord, KeyReused, NoSuchCharge, RefundCommand
from payments.simulator.ledger import EntryKind, Ledger, LedgerEntry
from payments.simulator.webhooks import Webhook, webhook_about

from .clock import Clock
from .faults import Fault, Faults
from .process import Process

FORGED_CAPTURE = "claims a capture that was not"
FALSE_CLAIMS: Mapping[str, Mapping[str, object]] = {
    "claims another amount": {"status": "succeeded", "amount": 1},
    FORGED_CAPTURE: {"status": "succeeded"},
    "claims a decline that was not": {"status": "declined"},
}
"""Changes of a webhook about a charge of the shop, which make it false or outdated."""

FALSE_WEBHOOKS = {*FALSE_CLAIMS, "callback about another charge", "callback about a stranger"}


class SimulatedProvider(InProcessGateway):
    def __init__(self, clock: Clock, process: Process, faults: Faults) -> None:
        super().__init__(Ledger(clock=clock))
        self.process, self.faults = process, faults
        self.requested: dict[str, int] = {}
        """The amounts that the shop requested, by the keys of their charges."""
        self.invalid_requests: list[str] = []
        """Requests that no shop should send."""
        self.false_webhooks = 0
        self.forged: set[str] = set()
        """The keys of charges of the shop about which a webhook claimed a capture that was not made."""
        self.delivered: list[LedgerEntry] = []
        self._accepted: dict[str, int] = {}
        """The amounts that the provider accepted instead, by the keys of their charges."""
        self._fault: Fault | None = None

    @contextmanager
    def calling(self, name: str) -> Iterator[None]:
        self._fault = self.faults.strike(name)
        with self.process.crossing(name):
            if self._fault is Fault.UNREACHABLE:
                raise Unreachable("The provider could not be reached.")
            if self._fault is Fault.NOT_CHARGED:
                raise TimedOut("The provider received nothing, and the caller does not know.")
            yield
            if self._fault in {Fault.LOST_ANSWER, Fault.REFUND_ANSWER_LOST}:
                raise TimedOut("The provider executed the request, and the caller does not know.")

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload:
        return read_payload(headers["webhook-id"], body)

    @property
    def undelivered(self) -> Sequence[LedgerEntry]:
        delivered = {webhook.seq for webhook in self.delivered}
        webhooks = self.ledger.entries("kind = ? ORDER BY seq", EntryKind.WEBHOOK)
        return [webhook for webhook in webhooks if webhook.seq not in delivered]

    def decide(self, key: str, *, approves: bool) -> None:
        """
        Capture or decline a charge whatever its status, and write a webhook.
        """
        with self.ledger.transaction():
            charge = self.processor.find(key)
            if approves:
                self.processor.capture(charge)
            else:
                self.processor.decline(charge, reason="card_declined")

    def capture_elsewhere(self, key: str) -> None:
        """
        Let the customer pay the order of this charge again, by other means.
        """
        with self.ledger.transaction():
            self.processor.capture_elsewhere(self.processor.find(key).requested)

    def write_false_webhook(self, kind: str, *, order_id: str, key: str) -> LedgerEntry:
        """
        Write a webhook about the charge with this key, about another charge for this order, or about no order.
        """
        self.false_webhooks += 1
        unknown = f"unknown-{self.false_webhooks}"
        data = {"key": unknown, "reference": unknown, "status": "succeeded", "amount": 100, "currency": "GBP"}
        webhook = Webhook(data=data | {"order_id": order_id}, stated_at=self.ledger.clock())
        if kind == "callback about a stranger":
            webhook = webhook.distorted(order_id="")
        elif kind in FALSE_CLAIMS and key:
            webhook = self.webhook_about(key).distorted(**FALSE_CLAIMS[kind])
            if kind == FORGED_CAPTURE and not self.processor.find(key).captured:
                self.forged.add(key)
        with self.ledger.transaction():
            self.processor.schedule(webhook, ChargeRecord(unknown, ()))
        return self.undelivered[-1]

    def webhook_about(self, key: str) -> Webhook:
        return webhook_about(self.processor.find(key), self.ledger.clock())

    def _charge(self, charge: ChargeRequest) -> Answer:
        key, is_distorted = charge.idempotency_key, self._fault is Fault.ANOTHER_AMOUNT
        if self.requested.setdefault(key, charge.amount) != charge.amount:
            self.invalid_requests.append(f"{charge} was requested with another amount before.")
        amount = self._accepted.setdefault(key, charge.amount - is_distorted)
        return super()._charge(replace(charge, amount=amount))

    def _cancel(self, charge: ChargeRequest) -> Answer:
        return self._look_up(charge) if self._fault is Fault.UNDECIDED else super()._cancel(charge)

    def _refund(self, request: RefundRequest) -> Answer:
        command = RefundCommand(key=request.idempotency_key, amount=request.amount, currency=request.currency)
        try:
            if self._fault is Fault.REFUND_REFUSED:
                refunds.refund(self.processor, request.charge_reference, command, declines_by="refused")
            return super()._refund(request)
        except (KeyReused, NoSuchCharge) as error:
            self.invalid_requests.append(f"{request}: {error!r}")
            raise
