"""
Calls to the gateway: many at a time, and what its silence means to the relay.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from django.conf import settings

from messaging.subscribers import Unavailable

from .protocol import Answer, Reply, TimedOut, Undecided, Unreachable

T = TypeVar("T")

SEVERAL = 3
"""Calls that time out together are an outage; fewer may be bad luck."""

SHARE_OF_LIMIT = 0.75
"""How much of the time that a worker's host allows it may be spent waiting."""


def call_all(call: Callable[[T], Answer], arguments: Iterable[T]) -> list[Reply]:
    """
    Call the gateway for each argument, many at a time, and return the replies in their order. What is not answered well
    before the worker that waits is ended has timed out.
    """
    pool = ThreadPoolExecutor(settings.MESSAGING.outside_calls_at_once)
    try:
        calls = [pool.submit(call, argument) for argument in arguments]
        wait(calls, timeout=settings.MESSAGING.handler_limit_seconds * SHARE_OF_LIMIT)
        return [_reply(made) for made in calls]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def insist_on(unanswered: Mapping[str, Reply]) -> None:
    """
    Have the relay call again, later, since these replies, by key of their event, settle nothing.

    :raises Unavailable: if there are any.
    """
    if unanswered:
        first = next(iter(unanswered.values()))
        raise Unavailable(
            f"No final answer from the gateway to {len(unanswered)} calls: {first}",
            keys=unanswered,
            is_outage=any(_is_silence(reply) for reply in unanswered.values()),
        )


def is_dead(replies: Collection[Reply]) -> bool:
    """
    Tell whether the gateway answered none of several calls.
    """
    return len(replies) >= SEVERAL and all(isinstance(reply, TimedOut) and _is_silence(reply) for reply in replies)


def pause_if_dead(replies: Collection[Reply]) -> None:
    """
    Have the relay pause if the gateway answered nothing at all; what its silence means for each payment is noted.

    :raises Unavailable: if it did not.
    """
    if is_dead(replies):
        raise Unavailable("The gateway does not answer.", keys=())


def _reply(made: Future[Answer]) -> Reply:
    if not made.done():
        return TimedOut("The gateway did not come to an end of its answer.")
    try:
        return made.result()
    except (TimedOut, Unreachable) as problem:
        return problem


def _is_silence(reply: Reply) -> bool:
    return not isinstance(reply, Answer | Undecided)
