"""
The simulated provider in this process, without HTTP: every charge is decided at once, and no webhook is sent.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial

from payments.gateway.protocol import (
    Answer,
    ChargeRequest,
    InvalidSignature,
    Money,
    Outcome,
    RefundRequest,
    StatementEntry,
    TimedOut,
    Unreachable,
    WebhookPayload,
)
from payments.simulator import refunds
from payments.simulator.behaviours import ResponseMode
from payments.simulator.charges import (
    REFUND_STATUSES,
    ChargeCommand,
    ChargeRecord,
    Json,
    KeyReused,
    NoSuchCharge,
    RefundCommand,
    statement,
)
from payments.simulator.ledger import EntryKind, Ledger
from payments.simulator.processor import Processor
from payments.simulator.scheduler import Scheduler


class InProcessGateway:
    """
    Webhooks stay in the ledger, which is in memory unless another is given.
    """

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger = ledger or Ledger()
        self.processor = Processor(ledger=self.ledger, delay=0, new_reference="instant-{}".format)
        self._scheduler = Scheduler(
            self.ledger,
            {
                EntryKind.CHARGED: self.processor.settle,
                EntryKind.REFUND_OPENED: partial(refunds.settle, self.processor),
            },
        )

    def charge(self, charge: ChargeRequest) -> Answer:
        return self._call("charge", lambda: self._charge(charge))

    def look_up(self, charge: ChargeRequest) -> Answer:
        return self._call("look_up", lambda: self._look_up(charge))

    def cancel(self, charge: ChargeRequest) -> Answer:
        return self._call("cancel", lambda: self._cancel(charge))

    def refund(self, request: RefundRequest) -> Answer:
        return self._call("refund", lambda: self._refund(request))

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        raise InvalidSignature("This gateway sends no webhooks.")

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        return [_statement_entry(capture) for capture in statement(self.ledger, since)]

    def calling(self, name: str) -> AbstractContextManager[None]:
        """
        Return a context for each call, by the name of its method; tests use it to observe calls and to fail them.
        """
        return nullcontext()

    def _call(self, name: str, execute: Callable[[], Answer]) -> Answer:
        """
        Translate errors of the provider as the adapter over HTTP does.
        """
        with self.calling(name):
            try:
                return execute()
            except NoSuchCharge:
                return Answer(outcome=Outcome.ABSENT)
            except KeyReused as error:
                raise TimedOut(str(error)) from error

    def _charge(self, charge: ChargeRequest) -> Answer:
        command = ChargeCommand(
            key=charge.idempotency_key,
            order_id=charge.order_id,
            amount=charge.amount,
            currency=charge.currency,
            payment_method=charge.payment_method,
        )
        mode = self.processor.charge(command).mode
        self._scheduler.run_due()
        _raise_fault(mode)
        return _answer(self.processor.find(command.key))

    def _look_up(self, charge: ChargeRequest) -> Answer:
        response = self.processor.look_up(charge.idempotency_key)
        _raise_fault(response.mode)
        return _answer(response.charge)

    def _cancel(self, charge: ChargeRequest) -> Answer:
        return _answer(self.processor.cancel(charge.idempotency_key))

    def _refund(self, request: RefundRequest) -> Answer:
        command = RefundCommand(key=request.idempotency_key, amount=request.amount, currency=request.currency)
        response = refunds.refund(self.processor, request.charge_reference, command)
        _raise_fault(response.mode)
        refund = refunds.look_up(self.processor, request.charge_reference, command.key)
        return Answer(outcome=Outcome(REFUND_STATUSES[refund.kind]), reference=refund.reference, reason=refund.reason)


def _raise_fault(mode: ResponseMode) -> None:
    """
    Raise what the adapter over HTTP makes of an absent or failed response.

    :raises TimedOut: if the money may have moved.
    :raises Unreachable: if it did not.
    """
    if mode in {ResponseMode.CLOSED, ResponseMode.SERVER_ERROR}:
        raise TimedOut("The gateway did not answer.")
    if mode is ResponseMode.RATE_LIMITED:
        raise Unreachable("The gateway rejects requests for now.")


def _answer(charge: ChargeRecord) -> Answer:
    captured = charge.captured
    return Answer(
        outcome=Outcome(charge.status),
        reference=charge.reference,
        reason=charge.reason,
        captured=Money(captured.amount or 0, captured.currency) if captured else None,
    )


def _statement_entry(capture: Json) -> StatementEntry:
    return StatementEntry(
        charge_key=capture["charge_key"],
        order_id=capture["order_id"],
        reference=capture["reference"],
        captured=Money(capture["amount"], capture["currency"]),
        captured_at=datetime.fromisoformat(capture["captured_at"]),
        refunds={refund["key"]: refund["amount"] for refund in capture["refunds"]},
    )
