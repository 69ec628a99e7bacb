"""
The processor decides about charges, and stores each decision in the ledger in the same transaction.

It has no thread, socket or clock: the ledger has the clock, and the scheduler calls `settle`. Methods without a
transaction of their own are called inside one.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from .behaviours import CHARGE_FAULTS, UNKNOWN, Behaviour, FaultSampler, ResponseMode, special
from .charges import ChargeCommand, ChargeRecord, ChargeResponse, NoSuchCharge, require_same_money
from .ledger import EntryKind, Ledger, LedgerEntry
from .webhooks import Webhook, other_currency, webhooks_of

DROPPED = {
    "answer_lost_uncharged": ResponseMode.CLOSED,
    "error_once": ResponseMode.SERVER_ERROR,
    "rate_limited": ResponseMode.RATE_LIMITED,
}
"""Responses to a first request that has no effect."""
CAPTURED_AT_ONCE = {"answer_lost_charged": ResponseMode.CLOSED, "callback_before_answer": ResponseMode.AFTER_WEBHOOK}
RESPONSES = CAPTURED_AT_ONCE | {"slow": ResponseMode.SLOW, UNKNOWN: ResponseMode.CLOSED}
SHOWN_AT_CAPTURE = {*CHARGE_FAULTS} - {*DROPPED, "slow", "lookup_lost"}


@dataclass(frozen=True, kw_only=True)
class Processor:
    ledger: Ledger
    sampler: FaultSampler = field(default_factory=FaultSampler)
    delay: float = 0.5
    """Seconds from a request until it is decided."""
    late_seconds: float = 1200
    new_reference: Callable[[str], str] = lambda _: f"sim_{uuid4().hex}"
    """Makes the provider's id of the charge or refund with this key."""

    def find(self, name: str) -> ChargeRecord:
        """
        Return a charge by its key or its reference.

        :raises NoSuchCharge: if there is none.
        """
        charge = self._charge(self.ledger.key_of(name))
        if not charge.exists:
            raise NoSuchCharge(f"No charge has the key or reference {name}.")
        return charge

    def charge(self, command: ChargeCommand) -> ChargeResponse:
        """
        Accept a charge; if its key was used before, return the charge's state.

        :raises KeyReused: if the key was used with another amount or currency.
        """
        with self.ledger.transaction():
            charge = self._charge(command.key)
            if charge.requested:
                require_same_money(command, charge.requested)
                return ChargeResponse(charge=charge, mode=_mode_of(charge))
            if charge.exists:
                self._accept(command.key, command, reference=charge.reference)
                return ChargeResponse(charge=self._charge(command.key))
            behaviour = charge.behaviour if charge.entries else self._draw(command)
            if behaviour.name in DROPPED and not charge.has_shown(behaviour.name):
                self.store_fault(charge.key, behaviour.name)
                return ChargeResponse(charge=charge, mode=DROPPED[behaviour.name])
            return self._start(command, behaviour)

    def look_up(self, name: str) -> ChargeResponse:
        """
        Return the state of a charge, by its key or its reference.

        :raises NoSuchCharge: if there is none.
        """
        with self.ledger.transaction():
            charge = self.find(name)
            is_lost = self.first_fault(charge, {"lookup_lost"})
            return ChargeResponse(charge=charge, mode=ResponseMode.CLOSED if is_lost else _mode_of(charge))

    def cancel(self, name: str) -> ChargeRecord:
        """
        Cancel a charge unless it is decided. One that does not exist is cancelled before it arrives.
        """
        with self.ledger.transaction():
            charge = self._charge(self.ledger.key_of(name))
            if not charge.exists:
                self.ledger.append(EntryKind.CANCELLED, name, reference=self.new_reference(name))
            elif charge.status == "processing":
                closes = None if charge.behaviour.name == "late" else charge.open_seq
                self.ledger.append(EntryKind.CANCELLED, charge.key, about=closes)
                self.announce(charge.key)
            return self._charge(charge.key)

    def settle(self, entry: LedgerEntry) -> None:
        """
        Decide the charge of this due entry, unless that was done or cancelled meanwhile.
        """
        with self.ledger.transaction():
            if self.ledger.is_closed(entry.seq):
                return
            charge = self._charge(entry.charge)
            if charge.behaviour.declines_by:
                self.decline(charge, reason=charge.behaviour.declines_by)
            else:
                self.capture(charge)

    def capture(self, charge: ChargeRecord, *, amount: int = 0, currency: str = "") -> None:
        """
        Capture a charge and announce that.

        :param amount: if it is not the requested one, in minor units; else the behaviour may change it.
        :raises NoSuchCharge: if the shop never requested it.
        """
        request, name = charge.requested, charge.behaviour.name
        if not request:
            raise NoSuchCharge(f"The shop never requested {charge.key}.")
        requested = request.amount or 0
        amount = amount or (requested - 1 or requested + 1 if name == "short_paid" else requested)
        currency = currency or (other_currency(request.currency) if name == "paid_otherwise" else request.currency)
        self.ledger.append(EntryKind.CAPTURED, charge.key, amount=amount, currency=currency, about=charge.open_seq)
        if name in SHOWN_AT_CAPTURE:
            self.store_fault(charge.key, name)
        self.announce(charge.key)
        if name == "captured_twice":
            self.capture_elsewhere(request)

    def capture_elsewhere(self, request: LedgerEntry) -> None:
        """
        Capture the same amount for the same order under another key.
        """
        key = str(uuid4())
        self._accept(key, request)
        self.capture(self._charge(key))

    def decline(self, charge: ChargeRecord, *, reason: str) -> None:
        self.ledger.append(EntryKind.DECLINED, charge.key, reason=reason, about=charge.open_seq)
        self.announce(charge.key)

    def announce(self, key: str) -> None:
        """
        Schedule the webhooks about the present state of a charge.
        """
        charge = self._charge(key)
        for webhook in webhooks_of(charge, self.ledger.clock(), delay=self.delay):
            self.schedule(webhook, charge)

    def schedule(self, webhook: Webhook, charge: ChargeRecord) -> None:
        self.ledger.append(EntryKind.WEBHOOK, charge.key, **webhook.as_entry(self.ledger.clock()))

    def first_fault(self, charge: ChargeRecord, faults: Collection[str]) -> str:
        """
        Store and return the charge's fault if it is one of these and takes effect for the first time.
        """
        name = charge.behaviour.name
        if name not in faults or charge.has_shown(name):
            return ""
        self.store_fault(charge.key, name)
        return name

    def store_fault(self, key: str, fault: str) -> None:
        self.ledger.append(EntryKind.FAULTED, key, reason=fault)

    def _charge(self, key: str) -> ChargeRecord:
        return ChargeRecord(key, self.ledger.entries_of(key))

    def _draw(self, command: ChargeCommand) -> Behaviour:
        latest = self.ledger.entries("kind = ? ORDER BY seq DESC LIMIT 1", EntryKind.DRAWN)
        n = latest[0].detail["n"] + 1 if latest else 1
        behaviour = special(command.payment_method) or self.sampler.draw(n)
        detail = {"n": n, "token": command.payment_method}
        self.ledger.append(EntryKind.DRAWN, command.key, reason=behaviour.name, detail=detail)
        return behaviour

    def _start(self, command: ChargeCommand, behaviour: Behaviour) -> ChargeResponse:
        name, key = behaviour.name, command.key
        wait = timedelta(seconds=self.late_seconds if name == "late" else self.delay)
        is_undecided = name in {"pending", UNKNOWN} or name in CAPTURED_AT_ONCE
        self._accept(key, command, due=None if is_undecided else self.ledger.clock() + wait)
        if name in CAPTURED_AT_ONCE:
            self.capture(self._charge(key))
        if name == "slow":
            self.store_fault(key, name)
        return ChargeResponse(charge=self._charge(key), mode=RESPONSES.get(name, ResponseMode.NORMAL))

    def _accept(
        self, key: str, request: ChargeCommand | LedgerEntry, *, reference: str = "", due: datetime | None = None
    ) -> None:
        fields = {"order_id": request.order_id, "amount": request.amount, "currency": request.currency}
        self.ledger.append(EntryKind.CHARGED, key, reference=reference or self.new_reference(key), due=due, **fields)


def _mode_of(charge: ChargeRecord) -> ResponseMode:
    """
    Return how requests for the state of a charge are answered.
    """
    is_unknown = charge.behaviour.name == UNKNOWN and charge.status == "processing"
    return ResponseMode.CLOSED if is_unknown else ResponseMode.NORMAL
