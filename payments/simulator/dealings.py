"""
What the shop may ask of the bank, and how that may be answered.
"""

from dataclasses import dataclass
from enum import StrEnum

from .charges import Charge, Refund


class Manner(StrEnum):
    """
    How a request is answered.
    """

    PLAIN = "plain"
    SLOW = "slow"
    LOST = "lost"
    """Not at all: the connection is closed."""
    BROKEN = "broken"
    """With a 500."""
    LIMITED = "limited"
    """With a 429."""
    AFTER_CALLBACK = "after callback"
    """Once the shop has acknowledged its callback."""


class KeyReused(Exception):
    """
    The idempotency key was used before, for something else.
    """


class NoSuchCharge(Exception):
    """
    No charge has this key or reference.
    """


@dataclass(frozen=True, kw_only=True)
class Wish:
    """
    What the shop asks to be captured.
    """

    key: str
    order_id: str
    amount: int
    currency: str
    payment_method: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    charge: Charge
    manner: Manner = Manner.PLAIN


class NoSuchRefund(Exception):
    """
    The charge has no refund with this key.
    """


@dataclass(frozen=True, kw_only=True)
class RefundWish:
    key: str
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class RefundReply:
    refund: Refund | None
    """None if the request was forgotten."""
    manner: Manner = Manner.PLAIN
