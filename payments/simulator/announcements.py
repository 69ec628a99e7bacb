"""
What the shop is told about a charge: the callbacks that follow its end, rightly or as its behaviour spoils them.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from .charges import Charge, Json

TYPES = {
    "succeeded": "payment.succeeded",
    "declined": "payment.failed",
    "cancelled": "payment.cancelled",
    "processing": "payment.processing",
}
OPPOSITES = {"succeeded": "declined"}

REORDERED_SECONDS = 0.5
LOOKUP_LOST_SECONDS = 2.0
BEFORE_ANSWER_SECONDS = 2.0


class Signature(StrEnum):
    GOOD = "good"
    BAD = "bad"
    """By a secret that nobody has."""
    OLD = "old"
    """Ten minutes old, by the right secret."""


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """
    A callback that is to be sent. One with a spoilt signature is sent only once, whatever the answer.
    """

    body: str
    id: str = field(default_factory=lambda: f"msg_{uuid4().hex}")
    signature: Signature = Signature.GOOD
    is_right: bool = True
    """Whether it says what is so, and may be sent again as it is."""
    after: float = 0
    """Seconds to wait before it is sent."""

    def as_entry(self, now: datetime) -> dict[str, Any]:
        told = asdict(self)
        return {"key": told.pop("id"), "due": now + timedelta(seconds=told.pop("after")), "detail": told}


def announce(charge: Charge, now: datetime, *, status: str = "", **spoilt: Any) -> Announcement:
    """
    Compose the callback about a charge as it is, apart from what is `spoilt` in its data.
    """
    status = status or charge.status
    money = charge.captured or charge.asked
    data = {
        "key": charge.key,
        "reference": charge.reference,
        "order_id": charge.asked.order_id if charge.asked else "",
        "status": status,
        "reason": charge.reason if status == charge.status else "",
        "amount": money.amount if money else None,
        "currency": money.currency if money else None,
    }
    body = {"type": TYPES[status], "timestamp": now.isoformat(), "data": data | spoilt}
    return Announcement(body=json.dumps(body), is_right=not spoilt and status == charge.status)


def contradiction(charge: Charge, now: datetime) -> Announcement:
    """
    Compose a callback that says the opposite of what is so.
    """
    status = OPPOSITES.get(charge.status, "succeeded")
    reason = {"reason": "card_declined"} if status == "declined" else {}
    return announce(charge, now, status=status, **reason)


def other_currency(currency: str) -> str:
    return "EUR" if currency != "EUR" else "USD"


def wrong_amount(charge: Charge, now: datetime) -> Announcement:
    return announce(charge, now, amount=_captured(charge)["amount"] + 1)


def wrong_currency(charge: Charge, now: datetime) -> Announcement:
    return announce(charge, now, currency=other_currency(_captured(charge)["currency"]))


def announcements(charge: Charge, now: datetime, *, delay: float) -> list[Announcement]:
    """
    Compose all callbacks that follow the end of a charge, a spoilt set only if it was approved.
    """
    name = charge.behaviour.name if charge.behaviour else ""
    if charge.status != "succeeded" or name not in SPOILT:
        return [announce(charge, now)]
    return SPOILT[name](charge, now, delay)


def _captured(charge: Charge) -> Json:
    return charge.as_json("")["captured"] or {"amount": 0, "currency": ""}


def _copies(count: int) -> Callable[[Charge, datetime, float], list[Announcement]]:
    return lambda charge, now, _: [announce(charge, now)] * count


def _signed(signature: Signature) -> Callable[[Charge, datetime, float], list[Announcement]]:
    return lambda charge, now, _: [_with(announce(charge, now), signature=signature, is_right=False)]


def _later(charge: Charge, now: datetime, seconds: float) -> list[Announcement]:
    return [_with(announce(charge, now), after=seconds)]


def _about_nobody(charge: Charge, now: datetime, delay: float) -> list[Announcement]:
    unknown = announce(charge, now, key=str(uuid4()), order_id=str(uuid4()), reference=f"sim_{uuid4().hex}")
    return [announce(charge, now), unknown]


def _reordered(charge: Charge, now: datetime, delay: float) -> list[Announcement]:
    charged_at = charge.asked.at if charge.asked else now
    processing = announce(charge, charged_at, status="processing")
    return [announce(charge, now), _with(processing, after=REORDERED_SECONDS)]


def _no_sooner(charge: Charge, now: datetime, delay: float) -> list[Announcement]:
    passed = (now - charge.asked.at).total_seconds() if charge.asked else 0
    return _later(charge, now, max(0.0, LOOKUP_LOST_SECONDS - passed))


def _with(announcement: Announcement, **changes: Any) -> Announcement:
    return Announcement(**vars(announcement) | changes)


SPOILT: dict[str, Callable[[Charge, datetime, float], list[Announcement]]] = {
    "never": lambda charge, now, _: [],
    "callback_twice": _copies(2),
    "callback_twenty": _copies(20),
    "contradictory": lambda charge, now, _: [contradiction(charge, now), announce(charge, now)],
    "wrong_amount": lambda charge, now, _: [wrong_amount(charge, now)],
    "wrong_currency": lambda charge, now, _: [wrong_currency(charge, now)],
    "bad_signature": _signed(Signature.BAD),
    "old_timestamp": _signed(Signature.OLD),
    "unknown_payment": _about_nobody,
    "callback_reordered": _reordered,
    "lookup_lost": _no_sooner,
    "answer_lost_charged": _later,
    # It is sent before the answer; this is for the case that the process dies before.
    "callback_before_answer": lambda charge, now, _: _later(charge, now, 2 * BEFORE_ANSWER_SECONDS),
}
