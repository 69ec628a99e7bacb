"""
Concurrent calls to the gateway, and the meaning of each reply for our books and for the relay.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar, assert_never
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from opentelemetry.trace import SpanKind

from messaging.kernel import spans
from messaging.kernel.databases import async_commit, bulk_copy
from messaging.kernel.ids import lowest_id, new_id
from messaging.kernel.tracing import current_traceparent
from messaging.outbox import context_of
from messaging.subscribers import NotReady, OutageObserved, PartlyUnavailable
from payments.models import GatewayCall

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


def call_all(
    call: Callable[[T], Answer],
    arguments: Sequence[T],
    *,
    key: Callable[[T], str],
    order_id: Callable[[T], UUID] | None = None,
) -> list[Reply]:
    """
    Call the gateway once for each argument, concurrently, and return the replies in the order of the arguments. A call
    that is unfinished when the worker's time limit draws near has timed out.

    :param key: returns the key of the event that an argument stems from: the call's log lines show its trace.
    :param order_id: returns the order that an argument is about: the calls are recorded for its timeline.
    """
    pool = ThreadPoolExecutor(settings.MESSAGING.outside_calls_at_once)
    timed = [_Timed(call) for _ in arguments]
    try:
        futures = [
            pool.submit(context_of(key(argument)).run, each, argument)
            for each, argument in zip(timed, arguments, strict=True)
        ]
        wait(futures, timeout=settings.MESSAGING.handler_limit_seconds * SHARE_OF_LIMIT)
        replies = [_reply_of(future) for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if order_id and arguments:
        _record(timed, [order_id(argument) for argument in arguments], replies)
    return replies


def prune() -> None:
    """
    Delete the records of calls that are older than the retention time of messages. The cluster calls it every day.
    """
    before = timezone.now() - timedelta(days=settings.MESSAGING.retention_days)
    GatewayCall.objects.filter(pk__lt=lowest_id(before)).delete()


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


class _Timed(Generic[T]):
    """
    A call that measures itself, in a span of the trace of its event.
    """

    def __init__(self, call: Callable[[T], Answer]) -> None:
        self.name = call.__name__.lstrip("_")
        self.started_at: datetime | None = None
        self._call = call
        self._started = self._ended = 0.0

    @property
    def milliseconds(self) -> int:
        """
        Return how long it took, or has taken until now.
        """
        return round(1000 * ((self._ended or time.monotonic()) - self._started))

    def __call__(self, argument: T) -> Answer:
        self.started_at, self._started = timezone.now(), time.monotonic()
        attributes = {"peer.service": "payment gateway", "shop.gateway.adapter": settings.PAYMENTS.gateway}
        try:
            with spans.span(
                f"payments.{self.name}", SpanKind.CLIENT, attributes, traces=[current_traceparent()]
            ) as span:
                answer = self._call(argument)
                span.set_attribute("shop.gateway.outcome", answer.outcome)
                return answer
        finally:
            self._ended = time.monotonic()


def _record(calls: Sequence[_Timed[T]], order_ids: Sequence[UUID], replies: Sequence[Reply]) -> None:
    """
    Store what became of these calls, by one statement whose commit waits for no disk.
    """
    rows = [
        (new_id(), order_id, call.name, _outcome_of(reply), call.started_at, call.milliseconds)
        for call, order_id, reply in zip(calls, order_ids, replies, strict=True)
        if call.started_at
    ]
    with async_commit():
        bulk_copy(GatewayCall, ("id", "order_id", "name", "outcome", "started_at", "milliseconds"), rows)


def _outcome_of(reply: Reply) -> str:
    match reply:
        case Answer():
            return reply.outcome.value
        case TimedOut():
            return "timed out"
        case Undecided():
            return "undecided"
        case Unreachable():
            return "unreachable"


def _reply_of(future: Future[Answer]) -> Reply:
    if not future.done():
        return TimedOut("The gateway did not finish its answer in time.")
    try:
        return future.result()
    except (TimedOut, Undecided, Unreachable) as reply:
        return reply


def _is_silence(reply: Reply) -> bool:
    return isinstance(reply, TimedOut | Unreachable)
