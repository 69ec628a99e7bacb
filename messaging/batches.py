"""
Batches: which due deliveries of a subscriber are claimed together.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from math import isqrt
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

BATCH_BYTES = 500_000


class Claimed(NamedTuple):
    """
    A delivery as it was before its claim, with its message.
    """

    pk: int
    message_id: UUID
    key: str
    earlier_attempts: int
    deferrals: int
    suspect: bool
    abandoned_token: object
    type: str
    version: int
    payload: str
    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str
    published_at: datetime

    @property
    def attempt(self) -> int:
        return self.earlier_attempts + 1

    @property
    def is_suspect(self) -> bool:
        return self.suspect or self.is_abandoned

    @property
    def is_abandoned(self) -> bool:
        """
        Return whether its last worker died: it was claimed and neither delivered nor failed before its lease ended.
        """
        return self.abandoned_token is not None

    @property
    def is_exhausted(self) -> bool:
        """
        Return whether its worker died at its last permitted attempt.
        """
        return self.is_abandoned and self.earlier_attempts >= settings.MESSAGING.max_attempts


def next_batch(due: Sequence[Claimed], *, usual_size: int) -> Sequence[Claimed]:
    """
    Return the first of these deliveries with those after it that may be in its batch, at most one of each key.

    Deliveries whose worker died are in smaller batches. If a worker dies again, each delivery of its batch is alone
    from then on, so that one that kills its worker harms no other.
    """
    due = _one_per_key(due)
    limits = [_most_together(delivery, usual_size) for delivery in due]
    sizes = accumulate(len(delivery.payload) for delivery in due)
    fits = [size <= BATCH_BYTES and limit == limits[0] for size, limit in zip(sizes, limits, strict=True)]
    count = fits.index(False) if False in fits else len(due)
    return due[: max(1, min([count, *limits[:1]]))]


def _most_together(delivery: Claimed, usual_size: int) -> int:
    """
    Return the size of a delivery's batches. The square root makes as many batches as there are deliveries in each: of
    200 deliveries, one that kills its worker costs another 13 a further attempt.
    """
    if not delivery.is_suspect:
        return usual_size
    is_last = delivery.attempt >= settings.MESSAGING.max_attempts
    return 1 if delivery.suspect or is_last else isqrt(usual_size)


def _one_per_key(due: Sequence[Claimed]) -> list[Claimed]:
    """
    Return the earliest delivery of each key: a delayed one does not keep a later one with its key from being due.
    """
    earliest = {delivery.key: delivery for delivery in reversed(due)}
    return [delivery for delivery in due if earliest[delivery.key] is delivery]
