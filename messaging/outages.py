"""
Outages: what a worker does about subscribers whose other side is down.

It pauses them, so that what waits for them neither uses up attempts nor delays others, then lets one delivery through
to see whether the other side is back: after 1, 2, 4 ... 30 seconds. Every worker finds that out for itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from .backoff import SLOW_CALL, outage_pause
from .subscribers import OutageObserved, PartlyUnavailable, Subscriber, Unavailable


@dataclass(frozen=True)
class Pause:
    number: int
    """How many came in a row, this one included."""
    until: datetime


class Outages:
    def __init__(self) -> None:
        self._pauses: dict[str, Pause] = {}

    def most_to_claim(self, subscriber: Subscriber, limit: int, *, now: datetime) -> int:
        """
        Tell how many deliveries may be let through: none in a pause, one after it, else as many as the limit says.
        """
        pause = self._pauses.get(subscriber.name)
        if not pause:
            return limit
        return 0 if now < pause.until else 1

    def note(
        self, subscriber: Subscriber, error: BaseException | None, *, size: int, took: timedelta, now: datetime
    ) -> None:
        """
        Draw the conclusion from what became of so many deliveries: pause, or let all through again.
        """
        if subscriber.transactional:
            return
        earlier = self._pauses.pop(subscriber.name, None)
        if _is_outage(error, size, took):
            number = earlier.number + 1 if earlier else 1
            self._pauses[subscriber.name] = Pause(number, now + outage_pause(number, took=took))


def _is_outage(error: BaseException | None, size: int, took: timedelta) -> bool:
    """
    Return whether this end of a batch of so many deliveries shows that the other side is down.
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
