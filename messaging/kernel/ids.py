"""
Ids of rows and messages.
"""

import sys
from datetime import UTC, datetime
from uuid import UUID

if sys.version_info >= (3, 14):
    from uuid import uuid7
else:
    from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """
    Return a UUIDv7 (RFC 9562), which sorts by its creation time.
    """
    return uuid7()


def lowest_id(moment: datetime) -> UUID:
    """
    Return the lowest UUIDv7 of this millisecond: those that `new_id` returned earlier are lower.
    """
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def moment_of(id_: UUID) -> datetime:
    """
    Return when a UUIDv7 was created, to the millisecond.
    """
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)


def parse_id(text: str) -> UUID | None:
    """
    Return the UUID that a text stands for, or None if it is none.
    """
    try:
        return UUID(text)
    except ValueError:
        return None
