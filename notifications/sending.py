"""
Sending of queued notifications, outside transactions, in batches over a few connections.

A notification is marked as being sent before the provider is called, and as accepted as soon as it was. If the worker
dies in between, those in hand are sent again, one for each connection: with the same Message-ID, but never lost.
"""

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from django.conf import settings
from opentelemetry.trace import SpanKind

from messaging.kernel import spans
from messaging.kernel.tracing import current_traceparent
from messaging.outbox import context_of
from messaging.subscribers import NotReady, PartlyUnavailable

from .attempts import settle, take
from .connections import Connection, Connections, Route
from .mail import Mailer
from .models import Notification
from .outcomes import Outcome, Result
from .texting import Texter

Channel = Notification.Channel

OUTAGE_THRESHOLD = 3
"""So many notifications that are all rejected for now are an outage; fewer may be greylisting."""

SHARE_OF_LIMIT = 0.8
"""The share of a worker's time limit in which a batch ends."""

LOOK_SECONDS = 0.1
GRACE_SHARE = 0.1
"""A call that was cut off and has not ended after this share of the limit is abandoned."""


@dataclass
class _Call:
    connection: Connection
    notification: Notification
    deadline_seconds: float
    started: float

    @property
    def overtime(self) -> float:
        return time.monotonic() - self.started - self.deadline_seconds


def send(ids: Sequence[str], *, channel: Notification.Channel, now: datetime) -> None:
    """
    Send these notifications of a channel, except those that are sent already or are useless by now. Each is settled on
    its own.

    :raises PartlyUnavailable: if the provider took none for now; those that it took are settled.
    :raises NotReady: if it deferred some, or there was no time for them.
    """
    notifications = take(ids, now=now)
    if notifications:
        batch = _Batch(notifications, _route_of(channel, now), now)
        batch.run()
        batch.report()


def _route_of(channel: Notification.Channel, now: datetime) -> Route:
    limits = settings.NOTIFICATIONS
    if channel == Channel.SMS:
        connections, deadline = limits.sms_connections, limits.sms_deadline_seconds
        return Route(noun="SMS", connect=partial(Texter, now), connections=connections, deadline_seconds=deadline)
    connections, deadline = limits.email_connections, limits.email_deadline_seconds
    return Route(noun="mails", connect=Mailer, connections=connections, deadline_seconds=deadline)


class _Batch:
    def __init__(self, notifications: Sequence[Notification], route: Route, now: datetime) -> None:
        self._waiting = list(reversed(notifications))
        self._route = route
        self._now = now
        self._calls: dict[Future[Outcome], _Call] = {}
        self._outcomes: dict[Notification, Outcome] = {}
        self._defect: BaseException | None = None
        limit = settings.MESSAGING.handler_limit_seconds
        self._grace = GRACE_SHARE * limit
        self._last_start = time.monotonic() + SHARE_OF_LIMIT * limit - route.deadline_seconds - self._grace

    def run(self) -> None:
        """
        Send until every notification has an outcome or the time of the batch is used up.
        """
        within = self._last_start - time.monotonic()
        with Connections(self._route, len(self._waiting), within=within) as connections:
            pool = ThreadPoolExecutor(max(1, connections.number))
            opened = [self._route.connect() for _ in range(connections.number)]
            try:
                for connection in opened:
                    self._start(pool.submit, connection)
                while self._calls:
                    done, _ = wait(self._calls, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
                    for connection in self._collect(done):
                        self._start(pool.submit, connection)
                    self._cut_off(connections)
            finally:
                for connection in opened:
                    pool.submit(connection.close)
                pool.shutdown(wait=False)

    def report(self) -> None:
        """
        Raise what the relay has to know of notifications that were not settled.
        """
        if self._defect:
            raise self._defect
        down, deferred = self._with(Result.UNAVAILABLE, Result.UNKNOWN), self._with(Result.DEFERRED)
        unsettled = [*down, *deferred]
        keys = {str(row.pk) for row in [*unsettled, *self._waiting]}
        detail = next((self._outcomes[row].error for row in unsettled), "There was no time for them.")
        if down or len(deferred) == len(self._outcomes) >= OUTAGE_THRESHOLD:
            raise PartlyUnavailable(f"{len(unsettled)} {self._route.noun} were not accepted: {detail}", keys=keys)
        if keys:
            raise NotReady(f"{len(keys)} {self._route.noun} are deferred: {detail}", keys=keys)

    def _with(self, *results: Result) -> list[Notification]:
        return [row for row, outcome in self._outcomes.items() if outcome.result in results]

    def _start(self, submit: Callable[..., Future[Outcome]], connection: Connection) -> None:
        if self._waiting and not connection.is_down and time.monotonic() < self._last_start:
            call = _Call(connection, self._waiting.pop(), self._route.deadline_seconds, started=time.monotonic())
            run = context_of(str(call.notification.pk)).run
            self._calls[submit(run, _send, connection, call.notification)] = call

    def _collect(self, done: Collection[Future[Outcome]]) -> list[Connection]:
        """
        Settle the notifications of these calls, and return the connections that are free.
        """
        calls = {future: self._calls.pop(future) for future in done}
        outcomes = {call.notification: self._outcome_of(future, call) for future, call in calls.items()}
        self._settle({row: outcome for row, outcome in outcomes.items() if outcome})
        return [call.connection for call in calls.values()]

    def _outcome_of(self, future: Future[Outcome], call: _Call) -> Outcome | None:
        error = future.exception()
        if error and not isinstance(error, Exception):
            raise error
        self._defect = self._defect or error
        if error:
            return None
        outcome = future.result()
        was_cut_off = call.overtime > 0 and outcome.result in {Result.UNAVAILABLE, Result.UNKNOWN}
        return replace(outcome, error=_overtime(call).error) if was_cut_off else outcome

    def _cut_off(self, connections: Connections) -> None:
        """
        Cut off the calls that take too long, and abandon those that go on nevertheless.
        """
        overdue = {future: call for future, call in self._calls.items() if call.overtime > 0}
        abandoned = {future: call for future, call in overdue.items() if call.overtime > self._grace}
        for call in overdue.values():
            call.connection.cut_off()
        for future in abandoned:
            connections.keep(future)
            del self._calls[future]
        self._settle({call.notification: _overtime(call) for call in abandoned.values()})

    def _settle(self, outcomes: dict[Notification, Outcome]) -> None:
        self._outcomes |= outcomes
        settle(outcomes, now=self._now)


def _send(connection: Connection, notification: Notification) -> Outcome:
    """
    Send a notification, in a span of the trace of its event.
    """
    if not spans.is_on():
        return connection.send(notification)
    attributes = {
        "peer.service": f"{notification.channel} provider",
        "shop.notification.id": str(notification.pk),
        "shop.notification.kind": notification.kind,
    }
    name = f"notifications.send_{notification.channel}"
    with spans.span(name, SpanKind.CLIENT, attributes, traces=[current_traceparent()]) as span:
        outcome = connection.send(notification)
        span.set_attribute("shop.notification.result", outcome.result.value)
        if outcome.result is not Result.ACCEPTED:
            spans.mark_failed(span, outcome.result.value)
        return outcome


def _overtime(call: _Call) -> Outcome:
    result = Result.UNKNOWN if call.connection.may_have_sent else Result.UNAVAILABLE
    return Outcome(result, f"The call of the provider took longer than {call.deadline_seconds} s.")
