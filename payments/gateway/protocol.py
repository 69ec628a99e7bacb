"""
The gateway: whoever really moves the money. Every adapter speaks this language; settings name the one in use.

Every call carries an idempotency key that was stored before the call, so a call may be repeated and moves money once.
What a gateway calls back with is a reason to ask it: only its answers to our own questions move a payment.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import NamedTuple, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

EVENT_ID = re.compile(r"[!-~]{1,255}", re.ASCII)
NAME = re.compile(r"[!-~]{1,100}", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Outcome(StrEnum):
    """
    What the gateway says became of a charge or a refund.
    """

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    PROCESSING = "processing"
    """Not decided yet, for example because the customer still has to agree."""
    CANCELLED = "cancelled"
    """It was withdrawn before any money moved, and none will move."""
    ABSENT = "absent"
    """It never heard of this: our request was lost on its way there."""


class TimedOut(Exception):
    """
    The gateway did not answer in time: the money may or may not have moved.
    """


class Undecided(TimedOut):
    """
    The gateway answered that it does not know yet: the money may still move.
    """


class Unreachable(Exception):
    """
    The gateway could not be asked, or took no request, so this call moved nothing.
    """


class InvalidSignature(Exception):
    """
    A webhook is not signed by the gateway.
    """


class TimestampOutOfTolerance(Exception):
    """
    A webhook was signed too long ago, or in the future: somebody may have kept it to send it again.
    """


class MalformedPayload(Exception):
    """
    A webhook is signed by the gateway, and yet says nothing that can be meant.
    """


class NoStatement(Exception):
    """
    The gateway keeps no books to compare ours with.
    """


class Money(NamedTuple):
    """
    An amount in minor units of an ISO 4217 currency.
    """

    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Charge:
    """
    An amount to capture, in minor units of the ISO 4217 currency.
    """

    idempotency_key: str
    order_id: str
    amount: int
    currency: str
    payment_method: str
    reference: str = ""
    """The gateway's own name for it, if we know it."""
    opened_at: datetime | None = None
    """When its key was stored; gateways forget keys after some time."""


@dataclass(frozen=True, kw_only=True)
class RefundRequest:
    """
    An amount to give back of what the charge with this reference captured.
    """

    idempotency_key: str
    charge_reference: str
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    outcome: Outcome
    reference: str = ""
    """The gateway's own name for it; of money that came, the same in every answer that tells of it."""
    reason: str = ""
    """Why it was declined, in the gateway's word."""
    captured: Money | None = None
    """What was really captured, if it says; otherwise what was asked for."""
    page: str = ""
    """Where the customer may still agree."""


@dataclass(frozen=True, kw_only=True)
class WebhookPayload:
    """
    What a genuine webhook claims of a charge. It need not be true any more, nor ever have been.
    """

    event_id: str
    fingerprint: str
    """Equal for two webhooks that claim the same."""
    charge_key: str
    order_id: str
    reference: str
    outcome: Outcome
    claimed: Money

    def __post_init__(self) -> None:
        """
        Refuse what no gateway means, and no database could keep.

        :raises MalformedPayload: if a name, the amount or the currency is out of bounds.
        """
        amount, currency = self.claimed
        names = (self.charge_key, self.reference or self.charge_key)
        is_named = EVENT_ID.fullmatch(self.event_id) and all(NAME.fullmatch(name) for name in names)
        if not (is_named and 0 <= amount < 2**63 and CURRENCY.fullmatch(currency)):
            raise MalformedPayload("A name, the amount or the currency is out of bounds.")


@dataclass(frozen=True, kw_only=True)
class StatementEntry:
    """
    A captured charge as the gateway's books have it.
    """

    charge_key: str
    order_id: str
    reference: str
    captured: Money
    captured_at: datetime
    repayments: Mapping[str, int] = field(default_factory=dict)
    """Minor units that went back, by the idempotency key of the refund."""


Reply = Answer | TimedOut | Unreachable
"""What came back from a call, if anything did."""


class Gateway(Protocol):
    """
    :raises TimedOut: from every call, if it may have moved money but did not answer.
    :raises Unreachable: from every call, if it moved nothing.
    """

    def charge(self, charge: Charge) -> Answer:
        """
        Capture the amount, or say what became of it when this key was charged before.
        """

    def look_up(self, charge: Charge) -> Answer:
        """
        Say what became of a charge, by its key, without moving anything.
        """

    def cancel(self, charge: Charge) -> Answer:
        """
        Withdraw a charge so that it never captures, unless it has: the answer is then SUCCEEDED.
        """

    def refund(self, repayment: RefundRequest) -> Answer:
        """
        Give the amount back, or say what became of it when this key was refunded before.
        """

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        """
        Verify a webhook over its raw bytes and read it; None if it is genuine, but of nothing that payments cares for.

        :param headers: by names in lower case.
        :raises InvalidSignature: if the gateway has not signed it.
        :raises TimestampOutOfTolerance: if it was signed more than five minutes ago or ahead.
        :raises MalformedPayload: if it is genuine and cannot be read.
        """

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        """
        Read from the gateway's books what was captured, or given back of it, since this moment; None for ever.

        :raises NoStatement: if it keeps none.
        """


@cache
def _gateway(path: str) -> Gateway:
    chosen: Gateway = import_string(_moved(path))()
    return chosen


def _moved(path: str) -> str:
    """
    Return where an adapter is now: payments and settings of earlier releases name the place it was in.
    """
    return path.replace("payments.adapters.", "payments.gateway.adapters.")


def current() -> Gateway:
    """
    Return the gateway that the settings name, at which payments are opened.
    """
    return _gateway(settings.PAYMENTS.gateway)


def at(path: str) -> Gateway:
    """
    Return the gateway at which a payment was opened, though settings may name another by now.
    """
    return current() if _moved(path) in ("", _moved(settings.PAYMENTS.gateway)) else _gateway(path)
