"""
The gateway: whoever really moves the money. Every adapter speaks this language; settings name the one in use.

Every call carries an idempotency key that was stored before the call, so a call may be repeated and moves money once.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Protocol, TypeVar

from django.conf import settings
from django.utils.module_loading import import_string

from messaging.subscribers import Unavailable

T = TypeVar("T")


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


class TimedOut(Exception):
    """
    The gateway did not answer in time: the money may or may not have moved.
    """


class Unreachable(Exception):
    """
    The gateway could not be asked, so this call moved nothing.
    """


@dataclass(frozen=True, kw_only=True)
class Charge:
    """
    An amount to capture, in minor units of the ISO 4217 currency.
    """

    idempotency_key: str
    amount: int
    currency: str
    payment_method: str


@dataclass(frozen=True, kw_only=True)
class Repayment:
    """
    An amount to give back of what the charge with `charge_key` captured.
    """

    idempotency_key: str
    charge_key: str
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    outcome: Outcome
    reference: str = ""
    """The gateway's own name for it."""


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
        Say what became of a charge, without moving anything.
        """

    def cancel(self, charge: Charge) -> Answer:
        """
        Withdraw a charge so that it never captures, unless it has: the answer is then SUCCEEDED.
        """

    def refund(self, repayment: Repayment) -> Answer:
        """
        Give the amount back.
        """


class InstantGateway:
    """
    A gateway in this process that decides by the payment method's token and remembers nothing, for it answers the same
    for the same charge whenever it is asked.

    `tok_declined` is declined; `tok_timeout` captures the money but the answer is lost; `tok_pending` waits for a
    customer who never agrees; every other token is approved.
    """

    def charge(self, charge: Charge) -> Answer:
        if charge.payment_method == "tok_timeout":
            raise TimedOut("The gateway did not answer in time.")
        return self.look_up(charge)

    def look_up(self, charge: Charge) -> Answer:
        outcomes = {"tok_declined": Outcome.DECLINED, "tok_pending": Outcome.PROCESSING}
        outcome = outcomes.get(charge.payment_method, Outcome.SUCCEEDED)
        return Answer(outcome=outcome, reference=f"instant-{charge.idempotency_key}")

    def cancel(self, charge: Charge) -> Answer:
        answer = self.look_up(charge)
        return Answer(outcome=Outcome.CANCELLED) if answer.outcome is Outcome.PROCESSING else answer

    def refund(self, repayment: Repayment) -> Answer:
        return Answer(outcome=Outcome.SUCCEEDED, reference=f"instant-{repayment.idempotency_key}")


@cache
def _gateway(path: str) -> Gateway:
    chosen: Gateway = import_string(path)()
    return chosen


def current() -> Gateway:
    """
    Return the gateway that the settings name.
    """
    return _gateway(settings.PAYMENTS["GATEWAY"])


def call_all(call: Callable[[T], Answer], arguments: Iterable[T]) -> list[Reply]:
    """
    Call the gateway for each argument, many at a time, and return the replies in their order.
    """

    def attempt(argument: T) -> Reply:
        try:
            return call(argument)
        except (TimedOut, Unreachable) as problem:
            return problem

    with ThreadPoolExecutor(settings.MESSAGING["OUTSIDE_CALLS_AT_ONCE"]) as pool:
        return list(pool.map(attempt, arguments))


def insist_on(unanswered: Mapping[str, Reply]) -> None:
    """
    Have the relay call again, later, since these replies, by order id, settle nothing.

    :raises Unavailable: if there are any.
    """
    if unanswered:
        first = next(iter(unanswered.values()))
        raise Unavailable(f"No final answer from the gateway to {len(unanswered)} calls: {first}", keys=unanswered)
