"""
The clock of a simulation, which stands still until a rule advances it.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

START = datetime(2030, 6, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


class Clock:
    """
    Return a later time at every call, and generate ids that sort by their time.
    """

    def __init__(self, start: datetime = START) -> None:
        self.moment = start
        self._ids = 0

    def __call__(self) -> datetime:
        self.moment += TICK
        return self.moment

    def advance(self, by: timedelta) -> None:
        self.moment += by

    def new_id(self) -> UUID:
        self._ids += 1
        milliseconds = int(self().timestamp() * 1000)
        return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | self._ids)
