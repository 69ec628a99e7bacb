"""
The buttons on the page of a payment: what a person may have the provider do, rightly or wrongly.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from .announcements import Announcement, Signature, announce, contradiction, wrong_amount
from .bank import Bank
from .behaviours import BEHAVIOURS
from .charges import Charge
from .entries import Kind

REASONS = tuple(behaviour.declines_by for behaviour in BEHAVIOURS.values() if behaviour.declines_by)


class NotNow(Exception):
    """
    The payment is in no state for this button.
    """


Press = Callable[[Bank, Charge, str], str]


@dataclass(frozen=True)
class Button:
    name: str
    words: str
    press: Press


def press(bank: Bank, name: str, button: str, reason: str) -> str:
    """
    Do what the button says to the payment of this name, and tell in a sentence what happened.

    :raises NoSuchCharge: if there is no such payment.
    :raises NotNow: if that cannot be done to it now.
    """
    if button not in BUTTONS:
        raise NotNow("There is no such button.")
    if button == "cancel":
        return _cancel(bank, bank.find(name))
    with bank.ledger.turn():
        charge = bank.find(name)
        if not charge.asked:
            raise NotNow("This payment was cancelled before it arrived, so there is nothing to press.")
        return BUTTONS[button].press(bank, charge, reason)


def _approve(bank: Bank, charge: Charge, reason: str) -> str:
    _require(charge, "processing")
    bank.capture(charge)
    return "Approved: the money is captured."


def _decline(bank: Bank, charge: Charge, reason: str) -> str:
    _require(charge, "processing")
    if reason not in REASONS:
        raise NotNow("Choose one of the reasons to decline.")
    bank.decline(charge, reason=reason)
    return f"Declined: {reason}."


def _pay_late(bank: Bank, charge: Charge, reason: str) -> str:
    _require(charge, "cancelled")
    bank.capture(charge)
    return "Paid, although it was cancelled."


def _cancel(bank: Bank, charge: Charge) -> str:
    _require(charge, "processing")
    after = bank.cancel(charge.key)
    _require(after, "cancelled")
    return "Cancelled."


def _again(times: int, words: str) -> Press:
    def call_again(bank: Bank, charge: Charge, reason: str) -> str:
        announcement = _latest(charge) or announce(charge, bank.ledger.clock())
        for _ in range(times):
            bank.call_back(charge, announcement)
        return f"The shop is called back {words}."

    return call_again


def _sign_badly(bank: Bank, charge: Charge, reason: str) -> str:
    right = announce(charge, bank.ledger.clock())
    bank.call_back(charge, replace(right, signature=Signature.BAD, is_right=False))
    return "The shop is called back with a signature that does not fit."


def _name_wrong_amount(bank: Bank, charge: Charge, reason: str) -> str:
    _require(charge, "succeeded")
    bank.call_back(charge, wrong_amount(charge, bank.ledger.clock()))
    return "The shop is called back with an amount that is one too high."


def _contradict(bank: Bank, charge: Charge, reason: str) -> str:
    bank.call_back(charge, contradiction(charge, bank.ledger.clock()))
    return "The shop is called back with the opposite of what is so."


def _latest(charge: Charge) -> Announcement | None:
    """
    Find the latest callback that tells what is so, to send the very same again.
    """
    told = [entry for entry in charge.of_kind(Kind.CALLBACK) if entry.detail["is_right"]]
    settled = charge.of_kind(Kind.CAPTURED, Kind.DECLINED, Kind.CANCELLED)
    since = settled[-1].seq if settled else 0
    current = [entry for entry in told if entry.seq > since]
    return Announcement(id=current[-1].key, body=current[-1].detail["body"]) if current else None


def _require(charge: Charge, status: str) -> None:
    if charge.status != status:
        raise NotNow(f"Not possible: this payment is {charge.status}, and has to be {status} for that.")


BUTTONS = {
    button.name: button
    for button in (
        Button("approve", "Approve", _approve),
        Button("decline", "Decline", _decline),
        Button("cancel", "Cancel", lambda bank, charge, reason: _cancel(bank, charge)),
        Button("pay_late", "Pay late", _pay_late),
        Button("call_again", "Call back again", _again(1, "once more")),
        Button("call_twice", "Call back twice", _again(2, "twice")),
        Button("call_twenty", "Call back twenty times", _again(20, "twenty times")),
        Button("sign_badly", "Call back with a bad signature", _sign_badly),
        Button("name_wrong_amount", "Call back with a wrong amount", _name_wrong_amount),
        Button("contradict", "Contradict", _contradict),
    )
}
