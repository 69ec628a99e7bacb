"""
The bank: decides what becomes of a charge, and writes it into the ledger in the same turn.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from .announcements import Announcement, announcements, other_currency
from .behaviours import BEHAVIOURS, FAULTS, Behaviour, Dice, Group, special
from .charges import Charge
from .dealings import KeyReused, Manner, NoSuchCharge, Reply, Wish
from .entries import Entry, Kind
from .ledger import Ledger

FORGOTTEN = {
    "answer_lost_uncharged": Manner.LOST,
    "error_once": Manner.BROKEN,
    "rate_limited": Manner.LIMITED,
}
CAPTURED_AT_ONCE = {
    "answer_lost_charged": Manner.LOST,
    "callback_before_answer": Manner.AFTER_CALLBACK,
}
MANNERS = CAPTURED_AT_ONCE | {"slow": Manner.SLOW}
SHOWN_AT_CAPTURE = {name for name in FAULTS if BEHAVIOURS[name].group is Group.FAULT} - {
    *FORGOTTEN,
    *("slow", "lookup_lost"),
}
"""Faults in how the money is captured and called back, so they take effect then."""


@dataclass(frozen=True, kw_only=True)
class Bank:
    ledger: Ledger
    dice: Dice = field(default_factory=Dice)
    delay: float = 0.5
    late_seconds: float = 1200

    def find(self, name: str) -> Charge:
        """
        Find a charge by its key or its reference.

        :raises NoSuchCharge: if there is none.
        """
        found = self._charge(self.ledger.key_of(name))
        if not found.is_known:
            raise NoSuchCharge(name)
        return found

    def charge(self, wish: Wish) -> Reply:
        """
        Accept a charge, or tell what became of it when it was asked for before.

        :raises KeyReused: if its key stands for another amount or currency.
        """
        with self.ledger.turn():
            known = self._charge(wish.key)
            if known.asked:
                return self._again(known.asked, wish)
            if known.is_known:
                self._remember(wish, reference=known.reference)
                return Reply(charge=self._charge(wish.key))
            behaviour = known.behaviour or self._draw(wish)
            if behaviour.name in FORGOTTEN and not known.has_shown(behaviour.name):
                self.show(wish.key, behaviour.name)
                return Reply(charge=known, manner=FORGOTTEN[behaviour.name])
            return self._accept(wish, behaviour)

    def look_up(self, name: str) -> Reply:
        """
        Tell what became of a charge, by its key or its reference.

        :raises NoSuchCharge: if there is none.
        """
        with self.ledger.turn():
            charge = self.find(name)
            lost = self.shows_first(charge, {"lookup_lost"})
            return Reply(charge=charge, manner=Manner.LOST if lost else Manner.PLAIN)

    def cancel(self, key: str) -> Charge:
        """
        Withdraw a charge unless it is decided. One that is unknown is cancelled before it arrives.
        """
        with self.ledger.turn():
            charge = self._charge(self.ledger.key_of(key))
            if not charge.is_known:
                self.ledger.append(Kind.CANCELLED, key, reference=new_reference())
            elif charge.status == "processing":
                is_late = bool(charge.behaviour and charge.behaviour.name == "late")
                self.ledger.append(Kind.CANCELLED, charge.key, about=None if is_late else charge.open_seq)
                self.announce(self._charge(charge.key))
            return self._charge(charge.key)

    def settle(self, entry: Entry) -> None:
        """
        Decide the charge of this entry, which is due, unless that was done or withdrawn meanwhile.
        """
        with self.ledger.turn():
            if self.ledger.is_done(entry.seq):
                return
            charge = self._charge(entry.charge)
            if charge.behaviour and charge.behaviour.declines_by:
                self.decline(charge, reason=charge.behaviour.declines_by)
            else:
                self.capture(charge)

    def capture(self, charge: Charge) -> None:
        """
        Move the money, in a turn, and have the shop called, both as the charge's behaviour spoils it.
        """
        asked = charge.asked
        if not asked:
            raise NoSuchCharge(charge.key)
        name = charge.behaviour.name if charge.behaviour else ""
        amount, currency = _really_captured(name, asked.amount or 0, asked.currency)
        self.ledger.append(Kind.CAPTURED, charge.key, amount=amount, currency=currency, about=charge.open_seq)
        if name in SHOWN_AT_CAPTURE:
            self.show(charge.key, name)
        self.announce(self._charge(charge.key))
        if name == "captured_twice":
            self._capture_again(asked)

    def decline(self, charge: Charge, *, reason: str) -> None:
        """
        Refuse a charge, in a turn, and have the shop called.
        """
        self.ledger.append(Kind.DECLINED, charge.key, reason=reason, about=charge.open_seq)
        self.announce(self._charge(charge.key))

    def announce(self, charge: Charge) -> None:
        """
        Have the shop called about a charge as it is now, in a turn.
        """
        for announcement in announcements(charge, self.ledger.clock(), delay=self.delay):
            self.call_back(charge, announcement)

    def call_back(self, charge: Charge, announcement: Announcement) -> None:
        """
        Have the shop called with this, in a turn.
        """
        self.ledger.append(Kind.CALLBACK, charge.key, **announcement.as_entry(self.ledger.clock()))

    def shows_first(self, charge: Charge, faults: AbstractSet[str]) -> str:
        """
        Name which of these faults takes effect now, in a turn: the charge's own, the first time.
        """
        name = charge.behaviour.name if charge.behaviour else ""
        if name not in faults or charge.has_shown(name):
            return ""
        self.show(charge.key, name)
        return name

    def show(self, key: str, fault: str) -> None:
        """
        Remember, in a turn, that a fault took effect.
        """
        self.ledger.append(Kind.FAULTED, key, reason=fault)

    def _charge(self, key: str) -> Charge:
        return Charge(key, tuple(self.ledger.entries_of(key)))

    def _again(self, asked: Entry, wish: Wish) -> Reply:
        if (asked.amount, asked.currency) != (wish.amount, wish.currency):
            raise KeyReused(f"{wish.key} was used for {asked.amount} {asked.currency}.")
        return Reply(charge=self._charge(wish.key))

    def _draw(self, wish: Wish) -> Behaviour:
        """
        Choose how this charge will go: as its token says, or else as the dice fall. Every charge counts for the dice.
        """
        latest = self.ledger.latest(Kind.DRAWN)
        n = latest.detail["n"] + 1 if latest else 1
        drawn = special(wish.payment_method) or self.dice.draw(n)
        self.ledger.append(Kind.DRAWN, wish.key, reason=drawn.name, detail={"n": n, "token": wish.payment_method})
        return drawn

    def _accept(self, wish: Wish, behaviour: Behaviour) -> Reply:
        name = behaviour.name
        wait = self.late_seconds if name == "late" else self.delay
        waits = name != "pending" and name not in CAPTURED_AT_ONCE
        self._remember(wish, due=self.ledger.clock() + timedelta(seconds=wait) if waits else None)
        if name in CAPTURED_AT_ONCE:
            self.capture(self._charge(wish.key))
        if name == "slow":
            self.show(wish.key, name)
        return Reply(charge=self._charge(wish.key), manner=MANNERS.get(name, Manner.PLAIN))

    def _remember(self, wish: Wish, *, reference: str = "", due: datetime | None = None) -> None:
        self.ledger.append(
            Kind.CHARGED,
            wish.key,
            reference=reference or new_reference(),
            order_id=wish.order_id,
            amount=wish.amount,
            currency=wish.currency,
            due=due,
        )

    def _capture_again(self, asked: Entry) -> None:
        """
        Capture the same once more, as a charge of its own.
        """
        wish = Wish(
            key=str(uuid4()),
            order_id=asked.order_id,
            amount=asked.amount or 0,
            currency=asked.currency,
            payment_method="",
        )
        self._remember(wish)
        self.capture(self._charge(wish.key))


def new_reference() -> str:
    return f"sim_{uuid4().hex}"


def _really_captured(behaviour: str, amount: int, currency: str) -> tuple[int, str]:
    if behaviour == "short_paid":
        return (amount - 1 or amount + 1), currency
    return amount, other_currency(currency) if behaviour == "paid_otherwise" else currency
