"""
Time in a simulation: it stands still until somebody lets it pass.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

START = datetime(2030, 6, 1, 12, tzinfo=UTC)
GLANCE = timedelta(microseconds=1)


class Clock:
    """
    Tell a later moment at every glance, and make ids that sort by the time of their making.
    """

    def __init__(self, start: datetime = START) -> None:
        self.moment = start
        self._ids = 0

    def __call__(self) -> datetime:
        self.moment += GLANCE
        return self.moment

    def advance(self, by: timedelta) -> None:
        self.moment += by

    def new_id(self) -> UUID:
        self._ids += 1
        milliseconds = int(self().timestamp() * 1000)
        return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | self._ids)
