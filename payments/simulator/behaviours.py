"""
Behaviours: what happens to a payment, chosen by its token, or drawn for payments without a special token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from random import Random

PREFIX = "tok_"


class ResponseMode(StrEnum):
    NORMAL = "normal"
    SLOW = "slow"
    CLOSED = "closed"
    """The connection is closed without a response."""
    SERVER_ERROR = "server error"
    """Status 500."""
    RATE_LIMITED = "rate limited"
    """Status 429."""
    AFTER_WEBHOOK = "after webhook"
    """After the shop has acknowledged the webhook."""


@dataclass(frozen=True)
class Behaviour:
    name: str
    description: str
    declines_by: str = ""
    """The decline reason; empty if the charge is approved."""

    @property
    def token(self) -> str:
        return f"{PREFIX}{self.name}"


UNKNOWN = "unknown"
APPROVED = Behaviour("visa", "Approved after the delay, as every token that is not listed here.")

GROUPS = {
    "Approved, declined, pending, unknown": (
        APPROVED,
        Behaviour("declined", "Declined after the delay.", "card_declined"),
        Behaviour("insufficient_funds", "Declined: insufficient funds.", "insufficient_funds"),
        Behaviour("expired_card", "Declined: the card has expired.", "expired_card"),
        Behaviour("fraud", "Declined: suspected fraud.", "fraud"),
        Behaviour("pending", "Pending until you approve or decline it on its page."),
        Behaviour(UNKNOWN, "No response, not even to look-ups, until you approve or decline it on its page."),
    ),
    "Approved, with a fault": (
        Behaviour("slow", "The response is slow."),
        Behaviour("answer_lost_charged", "Captured without a response; the webhook follows. Also tok_timeout."),
        Behaviour("answer_lost_uncharged", "The first request gets no response and has no effect; the next one works."),
        Behaviour("error_once", "The first request returns 500 and has no effect; the next one works."),
        Behaviour("rate_limited", "The first request returns 429 and has no effect; the next one works."),
        Behaviour("callback_twice", "The webhook is sent twice at once, with the same id."),
        Behaviour("callback_twenty", "The webhook is sent twenty times at once, with the same id."),
        Behaviour("callback_before_answer", "Captured, and the webhook is sent before the response."),
        Behaviour("late", "Captured very late, even if it was cancelled before."),
        Behaviour("never", "Captured; no webhook is sent."),
        Behaviour("contradictory", "Captured; one webhook says failed, another says succeeded."),
        Behaviour("wrong_amount", "Captured; the only webhook states an amount that is 1 minor unit too high."),
        Behaviour("wrong_currency", "Captured; the only webhook states another currency."),
        Behaviour("short_paid", "Captured, 1 minor unit too little."),
        Behaviour("paid_otherwise", "Captured in another currency."),
        Behaviour("bad_signature", "Captured; the only webhook has an invalid signature."),
        Behaviour("old_timestamp", "Captured; the only webhook has a valid signature that is ten minutes old."),
        Behaviour("unknown_payment", "Captured; a second webhook is about a payment that does not exist."),
        Behaviour("captured_twice", "Captured twice, under two keys and references, each with a webhook."),
        Behaviour("callback_reordered", "A webhook says succeeded, and a later one says processing."),
        Behaviour("lookup_lost", "The first look-up gets no response; the webhook comes two seconds after the charge."),
    ),
    "Approved, with a fault in the refund": (
        Behaviour("refund_declined", "The first refund is declined; later ones succeed."),
        Behaviour("refund_answer_lost", "The first refund succeeds without a response."),
        Behaviour("refund_error", "The first refund returns 500 and has no effect; then it works."),
        Behaviour("refund_slow", "The first refund is processing, and succeeds after the delay."),
    ),
}
BEHAVIOURS = {behaviour.name: behaviour for group in GROUPS.values() for behaviour in group}
ALIASES = {"timeout": "answer_lost_charged"}
CHARGE_FAULTS, REFUND_FAULTS = ([behaviour.name for behaviour in group] for group in [*GROUPS.values()][1:])
FAULTS = (*CHARGE_FAULTS, *REFUND_FAULTS)
CHAOS = tuple(name for name in BEHAVIOURS if name not in {APPROVED.name, "pending", UNKNOWN})
"""Names that can be drawn: all but approval, and those that end only by hand."""


def special(token: str) -> Behaviour | None:
    """
    Return the behaviour that a payment method's token selects, or None.
    """
    name = token.removeprefix(PREFIX)
    behaviour = BEHAVIOURS.get(ALIASES.get(name, name)) if token.startswith(PREFIX) else None
    return None if behaviour is APPROVED else behaviour


@dataclass(frozen=True, kw_only=True)
class FaultSampler:
    """
    Draw behaviours at these rates. With the same seed, the n-th charge always draws the same.
    """

    seed: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)

    def draw(self, n: int) -> Behaviour:
        value = Random(f"{self.seed}:{n}").random()
        for name, limit in zip(self.rates, accumulate(self.rates.values()), strict=True):
            if value < limit:
                return BEHAVIOURS[name]
        return APPROVED
