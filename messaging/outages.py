"""
Outages: a worker pauses subscribers whose external service is down.

During a pause their deliveries use up no attempts. After it, one delivery probes whether the service is back; if not, a
longer pause follows (`backoff.outage_pause`). Each worker has pauses of its own, which all of its threads share,
and records them for others to read.
"""

import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .backoff import SLOW_CALL, outage_pause
from .kernel.databases import async_commit
from .models import SubscriberPause
from .subscribers import OutageObserved, PartlyUnavailable, Subscriber, Unavailable


@dataclass(frozen=True)
class Pause:
    number: int
    """Pauses in a row, this one included."""
    began: datetime
    until: datetime


class Outages:
    def __init__(self) -> None:
        self._pauses: dict[str, Pause] = {}
        self._recorded: tuple[int, dict[str, Pause]] = 0, {}
        self._lock = threading.Lock()

    def most_to_claim(self, subscriber: Subscriber, limit: int, *, now: datetime) -> int:
        """
        Return how many deliveries may be claimed: none during a pause, one after it, otherwise the limit.
        """
        with self._lock:
            pause = self._pauses.get(subscriber.name)
        if not pause:
            return limit
        return 0 if now < pause.until else min(1, limit)

    def note_claim(self, subscriber: Subscriber, *, until: datetime) -> None:
        """
        Note that a batch was claimed. If it is a probe, the pause goes on until its result is noted.

        :param until: the end of the pause if there is no result, because the probe lost its lease or its connection.
        """
        with self._lock:
            if pause := self._pauses.get(subscriber.name):
                self._pauses[subscriber.name] = replace(pause, until=until)

    def note(
        self, subscriber: Subscriber, error: BaseException | None, *, size: int, took: timedelta, now: datetime
    ) -> None:
        """
        Pause the subscriber if the result of its batch shows an outage, otherwise end its pauses. The result of a batch
        that began before the present pause changes nothing.

        :param size: the number of deliveries in the batch.
        :param took: the time until the error was raised.
        """
        if subscriber.transactional:
            return
        with self._lock:
            earlier = self._pauses.get(subscriber.name)
            if earlier and now - took < earlier.began:
                return
            self._pauses.pop(subscriber.name, None)
            if _is_outage(error, size, took):
                number = earlier.number + 1 if earlier else 1
                # A call for a whole batch is the only one in flight: while it hangs, no other needs its thread.
                kept = timedelta() if subscriber.in_one_call else took
                self._pauses[subscriber.name] = Pause(number, now, now + outage_pause(number, took=kept))

    def record(self, worker: int) -> None:
        """
        Store the pauses as those of a worker, if they have changed. Without an outage this costs no statement.
        """
        with self._lock:
            pauses = self._pauses.copy()
        of, recorded = self._recorded
        if pauses != (recorded if of == worker else {}):
            rows = [SubscriberPause(worker_id=worker, subscriber=name, until=of.until) for name, of in pauses.items()]
            with async_commit():
                SubscriberPause.objects.filter(worker=worker).delete()
                SubscriberPause.objects.bulk_create(rows)
        self._recorded = worker, pauses


def _is_outage(error: BaseException | None, size: int, took: timedelta) -> bool:
    """
    Return whether the error of a batch shows that the external service is down.
    """
    match error:
        case Unavailable():
            return True
        case PartlyUnavailable(keys=keys):
            return len(keys) == size or (2 * len(keys) > size and took > SLOW_CALL)
        case OutageObserved():
            return took > SLOW_CALL
        case _:
            return False
