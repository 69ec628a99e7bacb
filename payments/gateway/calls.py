"""
Concurrent calls to the gateway, and the meaning of each reply for our books and for the relay.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, TypeVar, assert_never

from django.conf import settings
from opentelemetry.trace import SpanKind

from messaging.kernel import spans
from messaging.kernel.tracing import current_traceparent
from messaging.outbox import context_of
from messaging.subscribers import NotReady, OutageObserved, PartlyUnavailable

from .protocol import Answer, Outcome, Reply, TimedOut, Undecided, Unreachable

T = TypeVar("T")

OUTAGE_THRESHOLD = 3
"""So many calls, none of them answered, are an outage; fewer may be bad luck."""

SHARE_OF_LIMIT = 0.75
"""The share of a worker's time limit that it may spend waiting for replies."""


@dataclass(frozen=True)
class GroupedReplies(Generic[T]):
    """
    Payments or refunds, grouped by what the gateway replied about them.
    """

    answers: dict[T, Answer] = field(default_factory=dict)
    unknown: list[T] = field(default_factory=list)
    """Their money may have moved: the gateway is to be queried again."""
    unreached: list[T] = field(default_factory=list)
    """The call moved nothing and is to be repeated."""

    def answered(self, outcome: Outcome) -> list[T]:
        return [subject for subject, answer in self.answers.items() if answer.outcome is outcome]


def group_replies(replies: Mapping[T, Reply]) -> GroupedReplies[T]:
    """
    Group payments or refunds by what the gateway's replies about them mean.
    """
    groups = GroupedReplies[T]()
    for subject, reply in replies.items():
        match reply:
            case Answer():
                groups.answers[subject] = reply
            case TimedOut() | Undecided():
                groups.unknown.append(subject)
            case Unreachable():
                groups.unreached.append(subject)
            case _:
                assert_never(reply)
    return groups


def call_all(call: Callable[[T], Answer], arguments: Iterable[T], *, key: Callable[[T], str]) -> list[Reply]:
    """
    Call the gateway once for each argument, concurrently, and return the replies in the order of the arguments. A call
    that is unfinished when the worker's time limit draws near has timed out.

    :param key: returns the key of the event that an argument stems from: the call's log lines show its trace.
    """
    pool = ThreadPoolExecutor(settings.MESSAGING.outside_calls_at_once)
    try:
        futures = [pool.submit(context_of(key(argument)).run, _call, call, argument) for argument in arguments]
        wait(futures, timeout=settings.MESSAGING.handler_limit_seconds * SHARE_OF_LIMIT)
        return [_reply_of(future) for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def raise_unavailable(unanswered: Mapping[str, Reply], *, deferred_along: Iterable[str] = ()) -> None:
    """
    Defer the events with these keys, since their replies decide nothing.

    :param deferred_along: keys of further events to deliver again, if there are any unanswered ones.
    :raises PartlyUnavailable: if there are any, and the gateway did not answer one of them.
    :raises NotReady: if there are any, and the gateway answered them all but has not decided yet.
    """
    if unanswered:
        first = next(iter(unanswered.values()))
        case = PartlyUnavailable if any(map(_is_silence, unanswered.values())) else NotReady
        detail = f"No final answer from the gateway to {len(unanswered)} calls: {first}"
        raise case(detail, keys=[*unanswered, *deferred_along])


def gateway_is_down(replies: Collection[Reply]) -> bool:
    """
    Return whether the gateway answered none of several calls.
    """
    return len(replies) >= OUTAGE_THRESHOLD and all(_is_silence(reply) for reply in replies)


def pause_if_down(replies: Collection[Reply]) -> None:
    """
    Pause the subscriber if the gateway is down, although the books have every reply.

    :raises OutageObserved: if it is.
    """
    if gateway_is_down(replies):
        raise OutageObserved("The gateway does not answer.")


def _call(call: Callable[[T], Answer], argument: T) -> Answer:
    """
    Make a call, in a span of the trace of its event.
    """
    if not spans.is_on():
        return call(argument)
    attributes = {"peer.service": "payment gateway", "shop.gateway.adapter": settings.PAYMENTS.gateway}
    name = f"payments.{call.__name__}"
    with spans.span(name, SpanKind.CLIENT, attributes, traces=[current_traceparent()]) as span:
        answer = call(argument)
        span.set_attribute("shop.gateway.outcome", answer.outcome)
        return answer


def _reply_of(future: Future[Answer]) -> Reply:
    if not future.done():
        return TimedOut("The gateway did not finish its answer in time.")
    try:
        return future.result()
    except (TimedOut, Undecided, Unreachable) as reply:
        return reply


def _is_silence(reply: Reply) -> bool:
    return isinstance(reply, TimedOut | Unreachable)
