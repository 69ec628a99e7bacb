"""
The relay moves messages to their subscribers: claim, deliver, back off, give up.

Three promises, whoever is killed when: a delivery takes effect once (its effect commits together with its status, and
only while its claim holds), deliveries of one key reach one subscriber in order, and nothing is tried for ever. A
failing delivery is tried again by the schedule of `backoff.retry_delay`.
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
from .claims import Claim, Claimed, LeaseLost, batch_size, claim, subscribers_with_work
from .contracts import Undecodable, decode
from .kernel.tracing import tracing
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
    One worker's loop. It knows no host: django-q2, the web process, a command or a test may run it, side by side.
    """

    def __init__(self, *, clock: Callable[[], datetime] = timezone.now) -> None:
        self.clock = clock
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.reacting_since: float | None = None
        self._outages = Outages()

    def run(self, stop: threading.Event) -> None:
        """
        Deliver what is due and wait for more until told to stop; whatever happens, such as a lost database, begin anew.
        """
        while not stop.is_set():
            try:
                self._attend(stop)
            except Exception:
                logger.exception("The relay was interrupted and begins anew in a second.")
                connection.close()
                stop.wait(RELAY_RESTART_SECONDS)

    def drain(self, *, timeout: float | None = None) -> Counter[tuple[str, str]]:
        """
        Deliver until nothing is due; return how many deliveries met which outcome, by (subscriber, outcome).

        :raises TimeoutError: if something is still due after `timeout` seconds.
        """
        end = time.monotonic() + timeout if timeout else None
        before = self.outcomes.copy()
        while self.work_off():
            if end and time.monotonic() > end:
                raise TimeoutError(f"Still not drained after {timeout} s.")
        return self.outcomes - before

    def work_off(self) -> bool:
        """
        Deliver one batch to every subscriber that has something due; tell whether anything was claimed.
        """
        worked = False
        for subscriber in subscribers_with_work(self.clock()):
            most = self._outages.most_to_claim(subscriber, batch_size(subscriber), now=self.clock())
            if most and (held := claim(subscriber, at_most=most, now=self.clock())):
                worked = True
                self._deliver(held)
        return worked

    def _attend(self, stop: threading.Event) -> None:
        with wakeup.listening() as bell:
            while not stop.is_set():
                if not self.work_off():
                    with bell.armed():
                        if not self.work_off():  # what was published just before the bell was armed
                            bell.wait(stop)

    def _deliver(self, held: Claim) -> None:
        with self._unless_lost(held):
            self._attempt(held)

    def _attempt(self, held: Claim) -> None:
        began = time.monotonic()
        try:
            self._react(held)
        except LeaseLost:
            raise
        except (Exception, SystemExit) as error:
            if _database_is_gone(error):
                raise
            self._look_for_outage(held, error, began)
            self._recover(held, error)
        else:
            self._look_for_outage(held, None, began)

    def _look_for_outage(self, held: Claim, error: BaseException | None, began: float) -> None:
        took = timedelta(seconds=time.monotonic() - began)
        self._outages.note(held.subscriber, error, size=len(held.deliveries), took=took, now=self.clock())

    def _recover(self, held: Claim, error: BaseException) -> None:
        if held.subscriber.transactional:
            self._isolate(held, error)
            return
        match error:
            case Unavailable():
                self._defer(held, {delivery.key for delivery in held.deliveries}, error)
            case PartlyUnavailable() | NotReady():
                self._defer(held, error.keys, error)
            case OutageObserved():
                self._defer(held, (), error)
            case _:
                self._isolate(held, error)

    def _defer(self, held: Claim, keys: Collection[str], error: Deferral) -> None:
        """
        Defer the deliveries of these keys, and record that the others took effect.
        """
        served = held.only(lambda delivery: delivery.key not in keys)
        served.settle(self.clock())
        self._count(served, "delivered")
        for single in held.only(lambda delivery: delivery.key in keys).one_by_one():
            with self._unless_lost(single):
                self._record_failure(single, error)

    def _isolate(self, held: Claim, error: BaseException) -> None:
        """
        Record the failure of a single delivery; deliver a failed batch one by one.
        """
        if len(held.deliveries) == 1:
            self._record_failure(held, error)
        else:
            self._deliver_one_by_one(held)

    def _react(self, held: Claim) -> None:
        if held.deliveries[0].is_worn_out:
            raise WorkerDied(f"{held.deliveries[0].earlier_attempts} workers died with this delivery.")
        events = [decode(delivery.type, delivery.payload) for delivery in held.deliveries]
        around = transaction.atomic() if held.subscriber.transactional else nullcontext()
        with handling(held.deliveries), self._watched(), around:
            held.subscriber.react(events)
            held.settle(self.clock())
        self._count(held, "delivered")

    def _deliver_one_by_one(self, held: Claim) -> None:
        """
        Find out which delivery of a failed batch is the poison, while its neighbours take effect.
        """
        for single in held.one_by_one():
            with self._unless_lost(single):
                single.renew(self.clock())
                self._attempt(single)

    def _record_failure(self, held: Claim, error: BaseException) -> None:
        """
        Write the failed attempt down and decide when to try again, if at all.
        """
        (delivery,) = held.deliveries
        outcome, changes = _verdict(delivery, error, self.clock())
        with transaction.atomic():
            held.update(**changes, claim_token=None, error_class=type(error).__name__, fingerprint=_fingerprint(error))
            Attempt.objects.create(
                delivery_id=delivery.pk,
                number=delivery.attempt,
                failed_at=self.clock(),
                error_class=type(error).__name__,
                error=_storable(str(error))[:TRACEBACK_CHARACTERS],
                traceback=_storable("".join(traceback.format_exception(error)))[-TRACEBACK_CHARACTERS:],
            )
        self._count(held, outcome)
        logger.warning("%s of %s to %s: %r", outcome, delivery.type, held.subscriber.name, error)

    @contextmanager
    def _unless_lost(self, held: Claim) -> Iterator[None]:
        with tracing(*(delivery.traceparent for delivery in held.deliveries)):
            try:
                yield
            except LeaseLost:
                self._count(held, "lease_lost")
                logger.warning("Rolled back what %s did: its lease had ended.", held.subscriber.name)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """
        Let the host see how long a reaction takes.
        """
        self.reacting_since = time.monotonic()
        try:
            yield
        finally:
            self.reacting_since = None

    def _count(self, held: Claim, outcome: str) -> None:
        self.outcomes[held.subscriber.name, outcome] += len(held.deliveries)


def drain(*, clock: Callable[[], datetime] = timezone.now, timeout: float | None = None) -> Counter[tuple[str, str]]:
    """
    Deliver in this process until nothing is due; see `Relay.drain`.
    """
    return Relay(clock=clock).drain(timeout=timeout)


def _verdict(delivery: Claimed, error: BaseException, now: datetime) -> tuple[str, dict[str, object]]:
    if isinstance(error, Deferral) and delivery.deferrals < MAX_DEFERRALS:
        deferrals = delivery.deferrals + 1
        changes = {
            "deferrals": deferrals,
            "attempts": delivery.earlier_attempts,
            "due_at": now + retry_delay(deferrals),
        }
        return "deferred", changes
    hopeless = isinstance(error, Permanent | Undecodable | Deferral)
    if hopeless or delivery.attempt >= settings.MESSAGING.max_attempts:
        return "dead", {"status": Delivery.Status.DEAD}
    return "failed", {"due_at": now + retry_delay(delivery.attempt)}


def _storable(text: str) -> str:
    """
    Escape what a database refuses, for an error that cannot be recorded would end its worker, and the next one.
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _fingerprint(error: BaseException) -> str:
    """
    Give failures of one class at one place in the code one short name.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].name}" if frames else ""
    return sha1(f"{type(error).__name__}@{place}".encode(), usedforsecurity=False).hexdigest()[:16]


def _database_is_gone(error: BaseException) -> bool:
    return isinstance(error, (OperationalError, InterfaceError)) and not connection.is_usable()
