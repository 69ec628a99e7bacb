"""
Calls to the gateway: many at a time, and what its silence means to the relay.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.conf import settings

from messaging.subscribers import Unavailable

from .gateway import Answer, Reply, TimedOut, Unreachable

T = TypeVar("T")

SEVERAL = 3
"""Calls that time out together are an outage; fewer may be bad luck."""


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
    Have the relay call again, later, since these replies, by key of their event, settle nothing.

    :raises Unavailable: if there are any.
    """
    if unanswered:
        first = next(iter(unanswered.values()))
        raise Unavailable(f"No final answer from the gateway to {len(unanswered)} calls: {first}", keys=unanswered)


def pause_if_dead(replies: Collection[Reply]) -> None:
    """
    Have the relay pause if the gateway answered nothing at all; what its silence means for each payment is noted.

    :raises Unavailable: if all of several calls timed out.
    """
    if len(replies) >= SEVERAL and all(isinstance(reply, TimedOut) for reply in replies):
        raise Unavailable("The gateway does not answer.", keys=())
