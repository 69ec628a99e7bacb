"""
The relay moves messages to their subscribers: claim, deliver, back off, give up.

Three guarantees, whichever process is killed when: a delivery takes effect once (its effect commits together with its
status, and only while its claim is valid), deliveries with the same key reach a subscriber in order, and no delivery is
retried for ever. `backoff.retry_delay` is the schedule of retries.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from opentelemetry.trace import SpanKind

from . import wakeup
from .attempts import WorkerDied, record_failure
from .backoff import RELAY_RESTART_SECONDS
from .claims import Claim, LeaseLost, batch_size, claim_batch, lease, subscribers_with_work
from .kernel import spans
from .kernel.tracing import tracing, working_on
from .lanes import GATHER_SECONDS, Lanes
from .liveness import Liveness, Reporter
from .outages import Outages
from .outbox import handling
from .subscribers import Deferral, NotReady, OutageObserved, PartlyUnavailable, Subscriber, Unavailable

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.01
"""A relay that found nothing looks again no earlier: publications in quick succession share a look and a batch."""


class Relay:
    """
    A worker's loop. Its host may be django-q2, the web process, a command or a test; relays may run side by side.

    :param reporters: what else the worker records about itself, such as the state of its receiver.
    """

    def __init__(self, *, clock: Callable[[], datetime] = timezone.now, reporters: Sequence[Reporter] = ()) -> None:
        self.clock = clock
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._stop = threading.Event()
        self._outages = Outages()
        self._liveness = Liveness(clock, reporters=[self._outages, *reporters])
        self._reactions: dict[int, float] = {}
        self._lock = threading.Lock()

    @property
    def reacting_since(self) -> float | None:
        """
        The moment, of `time.monotonic`, at which the subscriber started that runs longest. None if none runs.
        """
        with self._lock:
            return min(self._reactions.values(), default=None)

    def run(self, stop: threading.Event) -> None:
        """
        Deliver what is due and wait for more until `stop` is set, then finish the batches in flight. Subscribers that
        call external services run in lanes. Restart after errors, such as a lost connection.
        """
        self._stop = stop
        with self._liveness.maintained(), Lanes(self.deliver) as lanes:
            while not stop.is_set():
                try:
                    self._deliver_and_wait(lanes)
                except Exception:
                    logger.exception("The relay failed and restarts in %s s.", RELAY_RESTART_SECONDS)
                    connection.close()
                    stop.wait(RELAY_RESTART_SECONDS)

    def drain(self, *, timeout: float | None = None) -> Counter[tuple[str, str]]:
        """
        Deliver in this thread until nothing is due, and return the number of deliveries by (subscriber, outcome).

        :raises TimeoutError: if something is still due after `timeout` seconds.
        """
        end = time.monotonic() + timeout if timeout else None
        before = self.outcomes.copy()
        while self.deliver_due():
            if end and time.monotonic() > end:
                raise TimeoutError(f"Still not drained after {timeout} s.")
        return self.outcomes - before

    def deliver_due(self, lanes: Lanes | None = None) -> bool:
        """
        Deliver a batch to each subscriber with due deliveries, and return whether any was claimed.

        :param lanes: deliver in these to subscribers that call external services; without them in this thread.
        """
        has_claimed = False
        for subscriber in subscribers_with_work(self.clock()):
            if self._stop.is_set():
                break
            lane = None if subscriber.transactional else lanes
            if claim := self._claim(subscriber, lane.room(subscriber) if lane else batch_size(subscriber)):
                has_claimed = True
                # Suspects one after another: one that kills its worker takes no other along time and again.
                (self if claim.is_suspect else lane or self).deliver(claim)
        return has_claimed

    def deliver(self, claim: Claim) -> None:
        """
        Deliver a claimed batch in this thread.
        """
        with self._while_leased(claim):
            self._attempt(claim)

    def _deliver_and_wait(self, lanes: Lanes) -> None:
        with wakeup.open_waiter() as waiter:
            while not self._stop.is_set():
                if not self.deliver_due(lanes):
                    with waiter.subscribed():
                        self._wait_and_deliver(waiter, lanes)

    def _wait_and_deliver(self, waiter: wakeup.Waiter, lanes: Lanes) -> None:
        while not self._stop.is_set():
            lanes.has_refused = False
            next_look = time.monotonic() + LOOK_SECONDS
            if self.deliver_due(lanes):  # published just before it subscribed, or while it waited
                return
            waiter.wait(self._stop, GATHER_SECONDS if lanes.has_refused else wakeup.POLL_SECONDS)
            self._stop.wait(max(0, next_look - time.monotonic()))

    def _claim(self, subscriber: Subscriber, limit: int) -> Claim | None:
        most = self._outages.most_to_claim(subscriber, limit, now=self.clock())
        claim = claim_batch(subscriber, at_most=most, worker=self._liveness.number, now=self.clock()) if most else None
        if claim:
            self._outages.note_claim(subscriber, until=self.clock() + lease())
        return claim

    def _attempt(self, claim: Claim) -> None:
        started = time.monotonic()
        try:
            self._react(claim)
        except LeaseLost:
            raise
        except (Exception, SystemExit) as error:
            if _database_is_gone(error):
                raise
            self._note_outage(claim, error, started)
            self._recover(claim, error)
        else:
            self._note_outage(claim, None, started)

    def _note_outage(self, claim: Claim, error: BaseException | None, started: float) -> None:
        took = timedelta(seconds=time.monotonic() - started)
        self._outages.note(claim.subscriber, error, size=len(claim.deliveries), took=took, now=self.clock())

    def _recover(self, claim: Claim, error: BaseException) -> None:
        if claim.subscriber.transactional:
            self._isolate(claim, error)
            return
        match error:
            case Unavailable():
                self._defer(claim, {delivery.key for delivery in claim.deliveries}, error)
            case PartlyUnavailable() | NotReady():
                self._defer(claim, error.keys, error)
            case OutageObserved():
                self._defer(claim, (), error)
            case _:
                self._isolate(claim, error)

    def _defer(self, claim: Claim, keys: Collection[str], error: Deferral) -> None:
        """
        Defer the deliveries with these keys, and mark the others as delivered.
        """
        served = claim.only(lambda delivery: delivery.key not in keys)
        served.mark_delivered(self.clock())
        self._count(served, "delivered")
        for single in claim.only(lambda delivery: delivery.key in keys).one_by_one():
            with self._while_leased(single):
                self._record_failure(single, error)

    def _isolate(self, claim: Claim, error: BaseException) -> None:
        """
        Record the failure of a single delivery; deliver a failed batch one by one.
        """
        if len(claim.deliveries) == 1:
            self._record_failure(claim, error)
        else:
            self._deliver_one_by_one(claim)

    def _react(self, claim: Claim) -> None:
        if claim.deliveries[0].is_exhausted:
            raise WorkerDied(f"{claim.deliveries[0].earlier_attempts} workers died with this delivery.")
        events = [claim.subscriber.decode(delivery.type, delivery.payload) for delivery in claim.deliveries]
        around = transaction.atomic() if claim.subscriber.transactional else nullcontext()
        with handling(claim.deliveries), self._timed(), _span(claim), around:
            claim.subscriber.react(events)
            claim.mark_delivered(self.clock())
        self._count(claim, "delivered")

    def _deliver_one_by_one(self, claim: Claim) -> None:
        """
        Deliver a failed batch one by one, so that only the deliveries that cause the failure fail.
        """
        for single in claim.one_by_one():
            with self._while_leased(single):
                single.renew(self.clock())
                self._attempt(single)

    def _record_failure(self, claim: Claim, error: BaseException) -> None:
        outcome = record_failure(claim, error, self.clock())
        self._count(claim, outcome)
        (delivery,) = claim.deliveries
        name = claim.subscriber.name
        logger.warning("Delivery %s of %s to %s: %s, %r", delivery.pk, delivery.type, name, outcome, error)

    @contextmanager
    def _while_leased(self, claim: Claim) -> Iterator[None]:
        with tracing(*(delivery.traceparent for delivery in claim.deliveries)), working_on(claim.deliveries):
            try:
                yield
            except LeaseLost:
                self._count(claim, "lease_lost")
                logger.warning("Rolled back a batch of %s: its lease had ended.", claim.subscriber.name)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """
        Record when the subscriber started; the host enforces its time limit.
        """
        thread = threading.get_ident()
        with self._lock:
            self._reactions[thread] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._reactions[thread]

    def _count(self, claim: Claim, outcome: str) -> None:
        with self._lock:
            self.outcomes[claim.subscriber.name, outcome] += len(claim.deliveries)


def _span(claim: Claim) -> AbstractContextManager[object]:
    """
    Return the span of OpenTelemetry in which a batch is handled.
    """
    if not spans.is_on():
        return nullcontext()
    attributes = spans.processing(claim.subscriber.name, [str(each.message_id) for each in claim.deliveries])
    traces = [delivery.traceparent for delivery in claim.deliveries]
    return spans.span(f"process {claim.subscriber.name}", SpanKind.CONSUMER, attributes, traces=traces)


def drain(*, clock: Callable[[], datetime] = timezone.now, timeout: float | None = None) -> Counter[tuple[str, str]]:
    """
    Deliver in this process until nothing is due; see `Relay.drain`.
    """
    return Relay(clock=clock).drain(timeout=timeout)


def _database_is_gone(error: BaseException) -> bool:
    return isinstance(error, (OperationalError, InterfaceError)) and not connection.is_usable()
