"""
The relay moves messages to their subscribers: claim, deliver, back off, give up.

Three guarantees, whichever process is killed when: a delivery takes effect once (its effect commits together with its
status, and only while its claim is valid), deliveries with the same key reach a subscriber in order, and no delivery is
retried for ever. `backoff.retry_delay` is the schedule of retries.
"""

import logging
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from hashlib import sha1

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from . import wakeup
from .backoff import MAX_DEFERRALS, RELAY_RESTART_SECONDS, retry_delay
from .batches import Claimed
from .claims import Claim, LeaseLost, batch_size, claim_batch, subscribers_with_work
from .contracts import Undecodable, decode
from .kernel.tracing import tracing
from .liveness import Liveness
from .models import Attempt, Delivery
from .outages import Outages
from .outbox import handling
from .subscribers import Deferral, NotReady, OutageObserved, PartlyUnavailable, Permanent, Unavailable

logger = logging.getLogger(__name__)

TRACEBACK_CHARACTERS = 8_000


class WorkerDied(Permanent):
    """
    Every worker that claimed this delivery died before finishing it.
    """


class Relay:
    """
    A worker's loop. Its host may be django-q2, the web process, a command or a test; relays may run side by side.
    """

    def __init__(self, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self.clock = clock
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.reacting_since: float | None = None
        self._stop = threading.Event()
        self._outages = Outages()
        self._liveness = Liveness(clock)

    def run(self, stop: threading.Event) -> None:
        """
        Deliver what is due and wait for more until `stop` is set; restart after errors, such as a lost connection.
        """
        self._stop = stop
        with self._liveness.maintained():
            while not stop.is_set():
                try:
                    self._deliver_and_wait(stop)
                except Exception:
                    logger.exception("The relay failed and restarts in %s s.", RELAY_RESTART_SECONDS)
                    connection.close()
                    stop.wait(RELAY_RESTART_SECONDS)

    def drain(self, *, timeout: float | None = None) -> Counter[tuple[str, str]]:
        """
        Deliver until nothing is due, and return the number of deliveries by (subscriber, outcome).

        :raises TimeoutError: if something is still due after `timeout` seconds.
        """
        end = time.monotonic() + timeout if timeout else None
        before = self.outcomes.copy()
        while self.deliver_due():
            if end and time.monotonic() > end:
                raise TimeoutError(f"Still not drained after {timeout} s.")
        return self.outcomes - before

    def deliver_due(self) -> bool:
        """
        Deliver a batch to each subscriber with due deliveries, and return whether any was claimed.
        """
        has_claimed = False
        for subscriber in subscribers_with_work(self.clock()):
            if self._stop.is_set():
                break
            most = self._outages.most_to_claim(subscriber, batch_size(subscriber), now=self.clock())
            worker = self._liveness.number
            if most and (claim := claim_batch(subscriber, at_most=most, worker=worker, now=self.clock())):
                has_claimed = True
                self._deliver(claim)
        return has_claimed

    def _deliver_and_wait(self, stop: threading.Event) -> None:
        with wakeup.open_waiter() as waiter:
            while not stop.is_set():
                if not self.deliver_due():
                    with waiter.subscribed():
                        if not self.deliver_due():  # published just before it subscribed
                            waiter.wait(stop)

    def _deliver(self, claim: Claim) -> None:
        with self._while_leased(claim):
            self._attempt(claim)

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
        events = [decode(delivery.type, delivery.payload) for delivery in claim.deliveries]
        around = transaction.atomic() if claim.subscriber.transactional else nullcontext()
        with handling(claim.deliveries), self._timed(), around:
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
        """
        Record a failed attempt, and retry the delivery later or make it a dead letter.
        """
        (delivery,) = claim.deliveries
        outcome, changes = _verdict(delivery, error, self.clock())
        with transaction.atomic():
            claim.update(**changes, claim_token=None, error_class=type(error).__name__, fingerprint=_fingerprint(error))
            Attempt.objects.create(
                delivery_id=delivery.pk,
                number=delivery.attempt,
                failed_at=self.clock(),
                error_class=type(error).__name__,
                error=_storable(str(error))[:TRACEBACK_CHARACTERS],
                traceback=_storable("".join(traceback.format_exception(error)))[-TRACEBACK_CHARACTERS:],
            )
        self._count(claim, outcome)
        name = claim.subscriber.name
        logger.warning("Delivery %s of %s to %s: %s, %r", delivery.pk, delivery.type, name, outcome, error)

    @contextmanager
    def _while_leased(self, claim: Claim) -> Iterator[None]:
        with tracing(*(delivery.traceparent for delivery in claim.deliveries)):
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
        self.reacting_since = time.monotonic()
        try:
            yield
        finally:
            self.reacting_since = None

    def _count(self, claim: Claim, outcome: str) -> None:
        self.outcomes[claim.subscriber.name, outcome] += len(claim.deliveries)


def drain(*, clock: Callable[[], datetime] = timezone.now, timeout: float | None = None) -> Counter[tuple[str, str]]:
    """
    Deliver in this process until nothing is due; see `Relay.drain`.
    """
    return Relay(clock=clock).drain(timeout=timeout)


def _verdict(delivery: Claimed, error: BaseException, now: datetime) -> tuple[str, dict[str, object]]:
    if isinstance(error, Deferral) and delivery.deferrals < MAX_DEFERRALS:
        deferrals = delivery.deferrals + 1
        due_at = now + retry_delay(deferrals)
        return "deferred", {"deferrals": deferrals, "attempts": delivery.earlier_attempts, "due_at": due_at}
    is_permanent = isinstance(error, Permanent | Undecodable | Deferral)
    if is_permanent or delivery.attempt >= settings.MESSAGING.max_attempts:
        return "dead", {"status": Delivery.Status.DEAD}
    return "failed", {"due_at": now + retry_delay(delivery.attempt)}


def _storable(text: str) -> str:
    """
    Return a text without characters that a database rejects: an error that cannot be recorded would end each worker.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _fingerprint(error: BaseException) -> str:
    """
    Return a hash of the error's class and of the function that raised it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].name}" if frames else ""
    return sha1(f"{type(error).__name__}@{place}".encode(), usedforsecurity=False).hexdigest()[:16]


def _database_is_gone(error: BaseException) -> bool:
    return isinstance(error, (OperationalError, InterfaceError)) and not connection.is_usable()
