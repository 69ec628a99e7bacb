"""
Refunds of what a charge captured: never more than that, and with the faults that the charge's token asks for.
"""

from dataclasses import dataclass
from datetime import timedelta

from .bank import Bank, new_reference
from .charges import Charge, Refund
from .dealings import KeyReused, Manner, NoSuchRefund, RefundReply, RefundWish
from .entries import Entry, Kind

FAULTS = {
    "refund_declined": Manner.PLAIN,
    "refund_answer_lost": Manner.LOST,
    "refund_error": Manner.BROKEN,
    "refund_slow": Manner.PLAIN,
}


@dataclass(frozen=True)
class Refunds:
    bank: Bank

    def refund(self, name: str, wish: RefundWish) -> RefundReply:
        """
        Give money back, or tell what became of this refund when it was asked for before.

        :raises NoSuchCharge: if no charge has this key or reference.
        :raises KeyReused: if its key stands for another amount or currency.
        """
        with self.bank.ledger.turn():
            charge = self.bank.find(name)
            known = charge.refunds().get(wish.key)
            if known:
                return _again(known, wish)
            refusal = _refusal(charge, wish)
            fault = "" if refusal else self.bank.shows_first(charge, FAULTS.keys())
            if fault == "refund_error":
                return RefundReply(refund=None, manner=Manner.BROKEN)
            refusal = refusal or ("account_closed" if fault == "refund_declined" else "")
            entry = self._decide(charge, wish, refusal=refusal, is_slow=fault == "refund_slow")
            return RefundReply(refund=Refund(entry), manner=FAULTS.get(fault, Manner.PLAIN))

    def look_up(self, name: str, key: str) -> Refund:
        """
        Tell what became of a refund.

        :raises NoSuchCharge: if no charge has this key or reference.
        :raises NoSuchRefund: if the charge has no refund with this key.
        """
        refunds = self.bank.find(name).refunds()
        if key not in refunds:
            raise NoSuchRefund(key)
        return refunds[key]

    def settle(self, entry: Entry) -> None:
        """
        Have a refund that was processing succeed, unless it has.
        """
        with self.bank.ledger.turn():
            if not self.bank.ledger.is_done(entry.seq):
                self.bank.ledger.append(
                    Kind.REFUNDED,
                    entry.charge,
                    key=entry.key,
                    reference=entry.reference,
                    amount=entry.amount,
                    currency=entry.currency,
                    about=entry.seq,
                )

    def _decide(self, charge: Charge, wish: RefundWish, *, refusal: str, is_slow: bool) -> Entry:
        kind = Kind.REFUND_DECLINED if refusal else Kind.REFUND_OPENED if is_slow else Kind.REFUNDED
        return self.bank.ledger.append(
            kind,
            charge.key,
            key=wish.key,
            reference=new_reference(),
            amount=wish.amount,
            currency=wish.currency,
            reason=refusal,
            due=self.bank.ledger.clock() + timedelta(seconds=self.bank.delay) if is_slow else None,
        )


def _again(known: Refund, wish: RefundWish) -> RefundReply:
    if (known.entry.amount, known.entry.currency) != (wish.amount, wish.currency):
        raise KeyReused(f"{wish.key} was used for {known.entry.amount} {known.entry.currency}.")
    return RefundReply(refund=known)


def _refusal(charge: Charge, wish: RefundWish) -> str:
    if wish.amount > charge.refundable:
        return "exceeds_capture"
    return "" if charge.captured and charge.captured.currency == wish.currency else "other_currency"
