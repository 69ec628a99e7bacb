"""
Boundaries: the moments at which a process commits or calls the outside, whose effects outlive the process.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from django.core.mail import EmailMessage
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from payments.gateway import protocol
from payments.gateway.protocol import Answer, ChargeRequest, Money, Outcome, RefundRequest, WebhookPayload
from tests.gateways import LedgerGateway


class Crash(BaseException):
    """
    The end of the process: like SIGKILL, it is caught by no `except Exception`.
    """


@dataclass
class Boundaries:
    """
    Record every boundary that is crossed, and crash before or after one of them.
    """

    crash_at: tuple[int, str] | None = None
    crossed: list[str] = field(default_factory=list)

    @contextmanager
    def crossing(self, name: str) -> Iterator[None]:
        here = len(self.crossed)
        self.crossed.append(name)
        self._crash_if_at(here, "before")
        yield
        self._crash_if_at(here, "after")

    def execute(self, execute: Callable, sql: str, params: object, many: bool, context: dict) -> object:  # noqa: FBT001
        """
        Treat a write outside of every transaction as a commit.
        """
        if context["connection"].in_atomic_block or not sql.startswith(("INSERT", "UPDATE", "DELETE")):
            return execute(sql, params, many, context)
        with self.crossing("commit"):
            return execute(sql, params, many, context)

    def crashed_after_mail(self) -> bool:
        """
        Return whether the crash fell between a mail and its record, so that the mail is sent twice.
        """
        here, moment = self.crash_at or (0, "before")
        return self.crossed[here if moment == "after" else here - 1] == "mail"

    def _crash_if_at(self, here: int, moment: str) -> None:
        if (here, moment) == self.crash_at:
            raise Crash


class Gateway(LedgerGateway):
    """
    The outside world, each call to it a boundary.
    """

    def __init__(self, boundaries: Boundaries, meanwhile: Callable[[ChargeRequest], None] | None) -> None:
        super().__init__()
        self.crossing, self.meanwhile = boundaries.crossing, meanwhile

    def charge(self, charge: ChargeRequest) -> Answer:
        with self.crossing("charge"):
            answer = super().charge(charge)
            if self.meanwhile:
                self.meanwhile(charge)
            return answer

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload:
        """
        Take it for a webhook that says that the charge of this key was captured.
        """
        charge = self.charges[body.decode()]
        return WebhookPayload(
            event_id=f"paid-{charge.idempotency_key}",
            fingerprint="paid",
            charge_key=charge.idempotency_key,
            order_id=charge.order_id,
            reference=f"instant-{charge.idempotency_key}",
            outcome=Outcome.SUCCEEDED,
            claimed=Money(charge.amount, charge.currency),
        )

    def look_up(self, charge: ChargeRequest) -> Answer:
        with self.crossing("look_up"):
            return super().look_up(charge)

    def cancel(self, charge: ChargeRequest) -> Answer:
        with self.crossing("cancel"):
            return super().cancel(charge)

    def refund(self, request: RefundRequest) -> Answer:
        with self.crossing("refund"):
            return super().refund(request)


@contextmanager
def watched(boundaries: Boundaries, outside: Gateway) -> Iterator[None]:
    """
    Make every commit, call to the gateway and mail inside the block cross a boundary.
    """
    commit, send = BaseDatabaseWrapper._commit, EmailMessage.send

    def commit_across(database: BaseDatabaseWrapper) -> None:
        try:
            with boundaries.crossing("commit"):
                commit(database)
        except Crash:
            database.connection.rollback()
            raise

    def send_across(message: EmailMessage) -> int:
        with boundaries.crossing("mail"):
            return send(message)

    with pytest.MonkeyPatch.context() as patch, connection.execute_wrapper(boundaries.execute):
        patch.setattr(protocol, "current", lambda: outside)
        patch.setattr(BaseDatabaseWrapper, "_commit", commit_across)
        patch.setattr(EmailMessage, "send", send_across)
        yield
