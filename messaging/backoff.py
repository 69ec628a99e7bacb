"""
Retry schedules of the project.

The simulator is another company's program: it has its own schedule for webhooks.
"""

import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate, count, takewhile

LONGEST_RETRY_DELAY = timedelta(minutes=5)

MAX_DEFERRALS = 300
"""Deferrals of one delivery before it is a dead letter: 19 hours on average, since they use up no attempts."""

OUTAGE_PAUSES: Sequence[timedelta] = [timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 16, 30)]

SLOW_CALL = timedelta(seconds=1)
"""A batch that takes longer before it reports an outage keeps a thread and its calls from other deliveries."""

PAUSE_PER_SLOW_CALL = 5

PAYMENT_QUERY_DELAYS: Sequence[timedelta] = [timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600)]
"""
Waits before each query to the gateway about a payment whose state is unknown: 5 s, 30 s, 2 min, 10 min, 1 h. When the
last query has no answer, it is a dead letter.
"""

RELAY_RESTART_SECONDS = 1.0
"""Wait before a relay starts again after an error of its own, such as a lost database connection."""


def retry_delay(attempt: int) -> timedelta:
    """
    Return the wait after the n-th failed attempt or the n-th deferral of a delivery, counted from 1.

    At most 1, 2, 4, 8, 16, 32, 64, 128, 256, then 300 seconds. The upper half of each is random (jitter), so that
    deliveries that failed together are not retried together.
    """
    return _longest_delay(attempt) * random.uniform(0.5, 1)


def most_deferrals_within(period: timedelta) -> int:
    """
    Return how often a delivery is deferred within this time at most: for a subscriber that ends its work by a time.
    """
    waits = accumulate(_longest_delay(deferral) / 2 for deferral in count(1))
    return sum(1 for _ in takewhile(lambda waited: waited <= period, waits))


def outage_pause(number: int, *, took: timedelta) -> timedelta:
    """
    Return how long a worker pauses a subscriber at the n-th outage in a row, counted from 1.

    1, 2, 4, 8, 16, then 30 seconds. A batch that took longer than a second pauses five times as long as it took, if
    that is more: an outage costs a thread a sixth of its time at most.
    """
    pause = OUTAGE_PAUSES[min(number, len(OUTAGE_PAUSES)) - 1]
    return max(pause, PAUSE_PER_SLOW_CALL * took) if took > SLOW_CALL else pause


def _longest_delay(attempt: int) -> timedelta:
    return min(timedelta(seconds=2.0 ** min(attempt - 1, 30)), LONGEST_RETRY_DELAY)
