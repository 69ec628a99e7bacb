"""
A payment gateway with a memory, for stories that the stateless instant gateway cannot tell.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from payments.gateway.adapters.instant import InstantGateway
from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    Money,
    Outcome,
    RefundRequest,
    StatementEntry,
    TimedOut,
    WebhookPayload,
)

INSTANT = "payments.gateway.adapters.instant.InstantGateway"


class LedgerGateway(InstantGateway):
    """
    Decide like the instant gateway, remember every movement of money by its idempotency key, and fail first as
    `script` says: each exception in it is raised by one call, before the call does anything.

    It is the outside world: it survives whatever happens to our processes and our database.
    """

    def __init__(self) -> None:
        self.charges: dict[str, ChargeRequest] = {}
        self.captured: dict[str, ChargeRequest] = {}
        self.cancelled: set[str] = set()
        self.refunded: dict[str, RefundRequest] = {}
        self.claims: dict[bytes, WebhookPayload] = {}
        """What its webhooks claim, by their bodies."""
        self.calls: Counter[str] = Counter()
        self.script: deque[Exception] = deque()
        self._lock = threading.Lock()

    def charge(self, charge: ChargeRequest) -> Answer:
        with self._lock:
            self._play("charge")
            key = charge.idempotency_key
            self.charges[key] = charge
            if key not in self.cancelled and super().look_up(charge).outcome is Outcome.SUCCEEDED:
                self.captured[key] = charge
                if charge.payment_method == "tok_timeout":
                    raise TimedOut("The gateway did not answer in time.")
            return self._state(charge)

    def look_up(self, charge: ChargeRequest) -> Answer:
        with self._lock:
            self._play("look_up")
            return self._state(charge)

    def cancel(self, charge: ChargeRequest) -> Answer:
        with self._lock:
            self._play("cancel")
            state = self._state(charge)
            if state.outcome not in {Outcome.PROCESSING, Outcome.ABSENT}:
                return state
            self.cancelled.add(charge.idempotency_key)
            return Answer(outcome=Outcome.CANCELLED)

    def refund(self, request: RefundRequest) -> Answer:
        with self._lock:
            self._play("refund")
            self.refunded[request.idempotency_key] = request
            return super().refund(request)

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        return self.claims.get(body) or super().read_webhook(body, headers, now=now)

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        return [self._booking(key, charge) for key, charge in self.captured.items()]

    def approve(self, key: str) -> None:
        """
        Capture a charge whatever became of it, as some customers and gateways do.
        """
        self.captured[key] = self.charges[key]

    def _play(self, call: str) -> None:
        self.calls[call] += 1
        if self.script:
            raise self.script.popleft()

    def _state(self, charge: ChargeRequest) -> Answer:
        key = charge.idempotency_key
        if key in self.captured:
            captured = self.captured[key]
            money = Money(captured.amount, captured.currency)
            return Answer(outcome=Outcome.SUCCEEDED, reference=f"instant-{key}", captured=money)
        if key in self.cancelled:
            return Answer(outcome=Outcome.CANCELLED)
        if key not in self.charges:
            return Answer(outcome=Outcome.ABSENT)
        state = super().look_up(self.charges[key])
        return state if state.outcome is Outcome.DECLINED else Answer(outcome=Outcome.PROCESSING)

    def _booking(self, key: str, charge: ChargeRequest) -> StatementEntry:
        repaid = [it for it in self.refunded.values() if it.charge_reference == f"instant-{key}"]
        return StatementEntry(
            charge_key=key,
            order_id=charge.order_id,
            reference=f"instant-{key}",
            captured=Money(charge.amount, charge.currency),
            captured_at=datetime.now(UTC),
            refunds={it.idempotency_key: it.amount for it in repaid},
        )
