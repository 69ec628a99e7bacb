"""
How a payment may go: one behaviour for each token, and the dice that choose one for payments without a special token.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from random import Random

PREFIX = "tok_"


class Group(StrEnum):
    PLAIN = "Approved, declined, waiting"
    FAULT = "Approved, with a fault"
    REFUND = "Approved, with a fault in its refund"


@dataclass(frozen=True)
class Behaviour:
    name: str
    about: str
    group: Group = Group.FAULT
    declines_by: str = ""
    """The reason to decline by, if it does."""

    @property
    def token(self) -> str:
        return f"{PREFIX}{self.name}"


APPROVED = Behaviour("visa", "Approved after the delay, like every token that is not in this table.", Group.PLAIN)

BEHAVIOURS = {
    behaviour.name: behaviour
    for behaviour in (
        APPROVED,
        Behaviour("declined", "Declined after the delay.", Group.PLAIN, "card_declined"),
        Behaviour("insufficient_funds", "Declined: the account is empty.", Group.PLAIN, "insufficient_funds"),
        Behaviour("expired_card", "Declined: the card is too old.", Group.PLAIN, "expired_card"),
        Behaviour("fraud", "Declined: it looks like fraud.", Group.PLAIN, "fraud"),
        Behaviour("pending", "Waits for somebody to press a button on its page.", Group.PLAIN),
        Behaviour("slow", "The answer takes very long."),
        Behaviour("answer_lost_charged", "Captured, but the answer is lost; called back later. Also tok_timeout."),
        Behaviour("answer_lost_uncharged", "The first request is lost and forgotten; the next one works."),
        Behaviour("error_once", "The first request gets a 500 and is forgotten; the next one works."),
        Behaviour("rate_limited", "The first request gets a 429 and is forgotten; the next one works."),
        Behaviour("callback_twice", "Called back twice at once, with the same id."),
        Behaviour("callback_twenty", "Called back twenty times at once, with the same id."),
        Behaviour("callback_before_answer", "Captured and called back before the request is answered."),
        Behaviour("late", "Captured very late, even if it was cancelled meanwhile."),
        Behaviour("never", "Captured, but never called back."),
        Behaviour("contradictory", "Captured; called back both as failed and as succeeded."),
        Behaviour("wrong_amount", "Captured; the only callback names an amount that is one too high."),
        Behaviour("wrong_currency", "Captured; the only callback names another currency."),
        Behaviour("short_paid", "Captured with one minor unit too little."),
        Behaviour("paid_otherwise", "Captured in another currency."),
        Behaviour("bad_signature", "Captured; the only callback is signed with a wrong secret."),
        Behaviour("old_timestamp", "Captured; the only callback is ten minutes old and rightly signed."),
        Behaviour("unknown_payment", "Captured and called back, and also called back for a payment nobody knows."),
        Behaviour("captured_twice", "Captured and called back twice, under two keys and references."),
        Behaviour("callback_reordered", "Called back as processing after it was called back as succeeded."),
        Behaviour("lookup_lost", "Called back no sooner than after two seconds; the first look-up is not answered."),
        Behaviour("refund_declined", "The first refund is declined, later ones succeed.", Group.REFUND),
        Behaviour("refund_answer_lost", "The first refund happens, but its answer is lost.", Group.REFUND),
        Behaviour("refund_error", "The first refund gets a 500 and does not happen; then it works.", Group.REFUND),
        Behaviour("refund_slow", "The first refund is processing, and succeeds after the delay.", Group.REFUND),
    )
}
ALIASES = {"timeout": "answer_lost_charged"}
FAULTS = tuple(name for name, behaviour in BEHAVIOURS.items() if behaviour.group is not Group.PLAIN)
CHAOS = tuple(name for name in BEHAVIOURS if name not in {APPROVED.name, "pending"})
"""What may be drawn: the rest is no misfortune, or would wait for ever."""


def special(token: str) -> Behaviour | None:
    """
    Find the behaviour that a payment method's token asks for, if it does.
    """
    name = token.removeprefix(PREFIX)
    found = BEHAVIOURS.get(ALIASES.get(name, name)) if token.startswith(PREFIX) else None
    return None if found is APPROVED else found


@dataclass(frozen=True, kw_only=True)
class Dice:
    """
    Draw behaviours at these rates. The n-th charge draws the same whenever the seed is the same.
    """

    seed: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)

    def draw(self, n: int) -> Behaviour:
        rolled = Random(f"{self.seed}:{n}").random()
        for name, limit in zip(self.rates, accumulate(self.rates.values()), strict=True):
            if rolled < limit:
                return BEHAVIOURS[name]
        return APPROVED


def read_rates(text: str) -> dict[str, float]:
    """
    Read how many charges shall go wrong: one share for all faults alike, or one for each name, as in "slow=0.02".

    :raises ValueError: if a name is unknown, or a share or their sum is not from 0 to 1.
    """
    if "=" not in text:
        share = _share(text)
        return dict.fromkeys(FAULTS, share / len(FAULTS)) if share else {}
    rates: dict[str, float] = {}
    for part in text.split(","):
        name, _, its_share = part.partition("=")
        rates[_known(name.strip(), rates)] = _share(its_share)
    if math.fsum(rates.values()) > 1:
        raise ValueError(f"The shares in {text!r} are more than 1 together.")
    return {name: rates[name] for name in CHAOS if rates.get(name)}


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError(f"{text.strip()!r} is no share: write a number from 0 to 1.")
    return share


def _known(name: str, rates: Mapping[str, float]) -> str:
    if name not in CHAOS:
        raise ValueError(f"{name!r} cannot be drawn: choose from {', '.join(CHAOS)}.")
    if name in rates:
        raise ValueError(f"{name!r} is there twice.")
    return name
