"""
The gateway protocol: what an adapter to a payment provider implements. Settings name the adapter in use.

Every call carries an idempotency key that was stored before the call, so a call may be repeated and moves money once.
A webhook may be wrong or forged: it is taken as an answer only while the gateway's statement confirms our books.
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

from .checkout import Checkout
from .paths import present_path

EVENT_ID = re.compile(r"[!-~]{1,255}", re.ASCII)
NAME = re.compile(r"[!-~]{1,100}", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Outcome(StrEnum):
    """
    The state of a charge or a refund at the gateway.
    """

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    PROCESSING = "processing"
    """Not decided yet, for example because the customer still has to authorize it."""
    CANCELLED = "cancelled"
    """Cancelled before any money moved, and none will move."""
    ABSENT = "absent"
    """The gateway has no record of it: our request was lost on its way."""


class Money(NamedTuple):
    """
    An amount in minor units of an ISO 4217 currency.
    """

    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """
    The reply of a gateway that knows the state of a charge or a refund.
    """

    outcome: Outcome
    reference: str = ""
    """The gateway's own id of it; the same in every answer about the same money."""
    reason: str = ""
    """The gateway's code for why it declined."""
    captured: Money | None = None
    """The captured amount, if the gateway states it; otherwise the requested one was captured."""
    page: str = ""
    """The address where the customer may still authorize the payment."""


class TimedOut(Exception):
    """
    The gateway did not answer in time: the money may or may not have moved.
    """


class Undecided(Exception):
    """
    The gateway answered that the charge is not decided yet: the money may still move.
    """


class Unreachable(Exception):
    """
    The gateway could not be reached, or refused to take the request, so this call moved nothing.
    """


Reply = Answer | TimedOut | Undecided | Unreachable
"""The result of a call, as a value; `calls.group_replies` is the one place that says what each case means."""


class InvalidSignature(Exception):
    """
    A webhook is not signed by the gateway.
    """


class TimestampOutOfTolerance(Exception):
    """
    A webhook was signed too long ago, or in the future: it may be a replay.
    """


class MalformedPayload(Exception):
    """
    A webhook is signed by the gateway, but cannot be read.
    """


class NoStatement(Exception):
    """
    The gateway keeps no books to compare ours with.
    """


@dataclass(frozen=True, kw_only=True)
class ChargeRequest:
    """
    An amount to capture, in minor units of the ISO 4217 currency.
    """

    idempotency_key: str
    order_id: str
    amount: int
    currency: str
    payment_method: str
    reference: str = ""
    """The gateway's own id of the charge, once it is known."""
    opened_at: datetime | None = None
    """When the key was stored; gateways forget keys after some time."""


@dataclass(frozen=True, kw_only=True)
class RefundRequest:
    """
    An amount, in minor units of the ISO 4217 currency, to give back of what the charge with this reference captured.
    """

    idempotency_key: str
    charge_reference: str
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class WebhookPayload:
    """
    What a genuine webhook claims about a charge. The claim may be outdated or wrong.
    """

    event_id: str
    fingerprint: str
    """Equal for two webhooks that make the same claim."""
    charge_key: str
    order_id: str
    reference: str
    outcome: Outcome
    claimed: Money
    """The captured amount if the outcome is SUCCEEDED, otherwise the requested one."""

    def __post_init__(self) -> None:
        """
        Reject values that no gateway sends and no database column could hold.

        :raises MalformedPayload: if an id, the amount or the currency is out of bounds.
        """
        amount, currency = self.claimed
        names = (self.charge_key, self.reference or self.charge_key)
        is_named = EVENT_ID.fullmatch(self.event_id) and all(NAME.fullmatch(name) for name in names)
        if not (is_named and 0 <= amount < 2**63 and CURRENCY.fullmatch(currency)):
            raise MalformedPayload("An id, the amount or the currency is out of bounds.")


@dataclass(frozen=True, kw_only=True)
class StatementEntry:
    """
    A captured charge in the gateway's books.
    """

    charge_key: str
    order_id: str
    reference: str
    captured: Money
    captured_at: datetime
    refunds: Mapping[str, int] = field(default_factory=dict)
    """Refunded minor units by the idempotency key of the refund."""


class Gateway(Protocol):
    """
    :raises TimedOut: from every call, if it may have moved money but was not answered.
    :raises Unreachable: from every call, if it moved nothing.
    """

    checkout: Checkout

    def charge(self, charge: ChargeRequest) -> Answer:
        """
        Capture the amount, or return the state of the charge that was made with this key before.
        """

    def look_up(self, charge: ChargeRequest) -> Answer:
        """
        Return the state of a charge, by its key, without moving money.
        """

    def cancel(self, charge: ChargeRequest) -> Answer:
        """
        Cancel a charge so that it never captures; if it has captured already, the answer is SUCCEEDED.
        """

    def refund(self, request: RefundRequest) -> Answer:
        """
        Give the amount back, or return the state of the refund that was made with this key before.
        """

    def read_webhook(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> WebhookPayload | None:
        """
        Verify the signature of a webhook over its raw bytes and read it.

        :param headers: by names in lower case.
        :returns: None if it is genuine, but not about a charge of ours.
        :raises InvalidSignature: if the gateway has not signed it.
        :raises TimestampOutOfTolerance: if it was signed more than five minutes ago or ahead.
        :raises MalformedPayload: if it is genuine and cannot be read.
        """

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        """
        Return the gateway's entries of charges that were captured or refunded since this moment; None for all.

        :raises NoStatement: if the gateway keeps no books.
        """


def current() -> Gateway:
    """
    Return the gateway in use, at which new payments are opened.
    """
    return _gateway(settings.PAYMENTS.gateway)


def at(path: str) -> Gateway:
    """
    Return the gateway at which a payment was opened, which may differ from the one in use.

    :param path: the dotted path that is stored with the payment; empty for the gateway in use.
    """
    path = present_path(path)
    return current() if path in ("", settings.PAYMENTS.gateway) else _gateway(path)


@cache
def _gateway(path: str) -> Gateway:
    adapter: Gateway = import_string(path)()
    return adapter
