"""
The simulated provider in the test's process, whose calls are counted and can be made to fail.

As a program of another company it survives a crash of our processes and a rollback of our database.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime

from payments.gateway.adapters.in_process import InProcessGateway
from payments.gateway.adapters.simulated import read_payload
from payments.gateway.protocol import StatementEntry, WebhookPayload
from payments.simulator.ledger import EntryKind, Ledger, LedgerEntry

INSTANT = "payments.gateway.adapters.instant.InstantGateway"


def entries(kind: EntryKind, *, by: str) -> property:
    """
    Return a property with the entries of this kind in the gateway's ledger, oldest first, by this field.
    """

    def read(gateway: "RecordingGateway") -> Mapping[object, LedgerEntry]:
        return {getattr(entry, by): entry for entry in gateway.ledger.entries("kind = ? ORDER BY seq", kind)}

    return property(read)


class RecordingGateway(InProcessGateway):
    charges = entries(EntryKind.CHARGED, by="charge")
    captured = entries(EntryKind.CAPTURED, by="charge")
    cancelled = entries(EntryKind.CANCELLED, by="charge")
    refunded = entries(EntryKind.REFUNDED, by="key")
    webhooks = entries(EntryKind.WEBHOOK, by="seq")

    def __init__(self, ledger: Ledger | None = None) -> None:
        super().__init__(ledger)
        self.calls: Counter[str] = Counter()
        self.script: deque[BaseException] = deque()
        """Each is raised by one call, instead of the call."""
        self.crossing: Callable[[str], AbstractContextManager[None]] = nullcontext
        """Returns a context for each call, which is left when the provider has executed the call."""
        self.edit_statement: Callable[[StatementEntry], StatementEntry | None] = lambda entry: entry
        """Returns what the statement says instead of an entry; None omits it."""
        self.statements: list[datetime | None] = []
        """Since when each statement was requested."""
        self._lock = threading.RLock()

    @contextmanager
    def calling(self, name: str) -> Iterator[None]:
        with self._lock, self.crossing(name):
            self.calls[name] += 1
            if self.script:
                raise self.script.popleft()
            yield

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload:
        return read_payload(headers["webhook-id"], body)

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        self.statements.append(since)
        with self.calling("statement"):
            return [edited for entry in super().statement(since) if (edited := self.edit_statement(entry))]

    def approve(self, key: str, **money: object) -> None:
        """
        Capture a charge whatever its status, in another amount or currency if that is given.
        """
        with self.ledger.transaction():
            self.processor.capture(self.processor.find(key), **money)

    def decline(self, key: str) -> None:
        with self.ledger.transaction():
            self.processor.decline(self.processor.find(key), reason="card_declined")
