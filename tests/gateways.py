"""
A payment gateway with a memory, for stories that the stateless instant gateway cannot tell.
"""

import threading
from collections import Counter, deque

from payments.gateway import Answer, Charge, InstantGateway, Outcome, Repayment


class LedgerGateway:
    """
    Decide like the instant gateway, remember every movement of money by its idempotency key, and fail first as
    `script` says: each exception in it is raised by one call, before the call does anything.

    It is the outside world: it survives whatever happens to our processes and our database.
    """

    def __init__(self) -> None:
        self.captured: dict[str, Charge] = {}
        self.cancelled: set[str] = set()
        self.refunded: dict[str, Repayment] = {}
        self.calls: Counter[str] = Counter()
        self.script: deque[Exception] = deque()
        self._instant = InstantGateway()
        self._lock = threading.Lock()

    def charge(self, charge: Charge) -> Answer:
        with self._lock:
            self._play("charge")
            key = charge.idempotency_key
            if key in self.cancelled:
                return Answer(outcome=Outcome.CANCELLED)
            if self._instant.look_up(charge).outcome is Outcome.SUCCEEDED:
                self.captured[key] = charge
            return self._instant.charge(charge)

    def look_up(self, charge: Charge) -> Answer:
        with self._lock:
            self._play("look_up")
            return self._state(charge)

    def cancel(self, charge: Charge) -> Answer:
        with self._lock:
            self._play("cancel")
            state = self._state(charge)
            if state.outcome is not Outcome.PROCESSING:
                return state
            self.cancelled.add(charge.idempotency_key)
            return Answer(outcome=Outcome.CANCELLED)

    def refund(self, repayment: Repayment) -> Answer:
        with self._lock:
            self._play("refund")
            self.refunded[repayment.idempotency_key] = repayment
            return self._instant.refund(repayment)

    def _play(self, call: str) -> None:
        self.calls[call] += 1
        if self.script:
            raise self.script.popleft()

    def _state(self, charge: Charge) -> Answer:
        if charge.idempotency_key in self.captured:
            return Answer(outcome=Outcome.SUCCEEDED, reference=f"instant-{charge.idempotency_key}")
        if charge.idempotency_key in self.cancelled:
            return Answer(outcome=Outcome.CANCELLED)
        outcome = self._instant.look_up(charge).outcome
        return Answer(outcome=outcome if outcome is Outcome.DECLINED else Outcome.PROCESSING)
