"""
The simulated provider in the test's process, whose calls are counted and can be made to fail.

As a program of another company it survives a crash of our processes and a rollback of our database.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from payments.gateway.adapters.in_process import InProcessGateway
from payments.gateway.protocol import Answer, ChargeRequest, StatementEntry, WebhookPayload
from payments.simulator.ledger import EntryKind, Ledger, LedgerEntry

INSTANT = "payments.gateway.adapters.instant.InstantGateway"


class RecordingGateway(InProcessGateway):
    def __init__(self, ledger: Ledger | None = None) -> None:
        super().__init__(ledger)
        self.calls: Counter[str] = Counter()
        self.script: deque[BaseException] = deque()
        """Each is raised by one call, instead of the call."""
        self.lost_answers: deque[BaseException] = deque()
        """Each is raised by one call, after the call."""
        self.distortion: Mapping[str, object] = {}
        """Fields in which the provider mistakes every charge."""
        self.payloads: dict[bytes, WebhookPayload] = {}
        """The webhooks it is known to have sent, by their bodies."""
        self.edit_statement: Callable[[StatementEntry], StatementEntry | None] = lambda entry: entry
        """Returns what the statement says instead of an entry; None omits it."""
        self.statement_error: BaseException | None = None
        self.statements: list[datetime | None] = []
        """Since when each statement was requested."""
        self._lock = threading.RLock()

    @contextmanager
    def calling(self, name: str) -> Iterator[None]:
        with self._lock:
            self.calls[name] += 1
            if self.script:
                raise self.script.popleft()
            yield
            if self.lost_answers:
                raise self.lost_answers.popleft()

    def charge(self, charge: ChargeRequest) -> Answer:
        return super().charge(replace(charge, **self.distortion))

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        return self.payloads.get(body) or super().read_webhook(body, headers, now=now)

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        self.statements.append(since)
        if self.statement_error:
            raise self.statement_error
        return [edited for entry in super().statement(since) if (edited := self.edit_statement(entry))]

    @property
    def charges(self) -> dict[str, LedgerEntry]:
        return {entry.charge: entry for entry in self._entries(EntryKind.CHARGED)}

    @property
    def captured(self) -> dict[str, LedgerEntry]:
        return {entry.charge: entry for entry in self._entries(EntryKind.CAPTURED)}

    @property
    def cancelled(self) -> set[str]:
        return {entry.charge for entry in self._entries(EntryKind.CANCELLED)}

    @property
    def refunded(self) -> dict[str, LedgerEntry]:
        """
        Return the refunds by their keys; `charge` is the key of the refunded charge.
        """
        return {entry.key: entry for entry in self._entries(EntryKind.REFUNDED)}

    @property
    def webhooks(self) -> Sequence[LedgerEntry]:
        return self._entries(EntryKind.WEBHOOK)

    def approve(self, key: str, **money: object) -> None:
        """
        Capture a charge whatever its status, in another amount or currency if that is given.
        """
        with self.ledger.transaction():
            self.processor.capture(self.processor.find(key), **money)

    def decline(self, key: str) -> None:
        with self.ledger.transaction():
            self.processor.decline(self.processor.find(key), reason="card_declined")

    def _entries(self, kind: EntryKind) -> Sequence[LedgerEntry]:
        return self.ledger.entries("kind = ? ORDER BY seq", kind)
