"""
A processor without a server: the test sets the time, and webhooks are collected instead of sent.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from payments.simulator import refunds
from payments.simulator.behaviours import FaultSampler
from payments.simulator.charges import ChargeCommand, ChargeRecord, ChargeResponse, RefundCommand, RefundResponse
from payments.simulator.ledger import EntryKind, Ledger, LedgerEntry
from payments.simulator.processor import Processor
from payments.simulator.scheduler import Scheduler

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Bench:
    def __init__(self, *, sampler: FaultSampler | None = None) -> None:
        self.now = NOON
        self.ledger = Ledger(clock=lambda: self.now)
        self.processor = Processor(ledger=self.ledger, sampler=sampler or FaultSampler())
        self.sent: list[LedgerEntry] = []
        settle = {
            EntryKind.CHARGED: self.processor.settle,
            EntryKind.REFUND_OPENED: partial(refunds.settle, self.processor),
        }
        self.scheduler = Scheduler(self.ledger, settle | {EntryKind.WEBHOOK: self.sent.append})

    def charge(self, token: str = "tok_visa", **changes: Any) -> ChargeResponse:
        command = {"key": "charge-1", "order_id": "order-1", "amount": 4_500, "currency": "GBP"} | changes
        return self.processor.charge(ChargeCommand(payment_method=token, **command))

    def refund(
        self, key: str = "refund-1", amount: int = 4_500, currency: str = "GBP", of: str = "charge-1"
    ) -> RefundResponse:
        return refunds.refund(self.processor, of, RefundCommand(key=key, amount=amount, currency=currency))

    def paid(self, token: str = "tok_visa", **changes: Any) -> ChargeRecord:
        """
        Charge, and let two minutes pass.
        """
        self.charge(token, **changes)
        self.wait(60)
        self.wait(60)
        return self.processor.find(changes.get("key", "charge-1"))

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.scheduler.run_due()

    def sent_bodies(self) -> list[dict[str, Any]]:
        return [json.loads(webhook.detail["body"]) for webhook in self.sent]
