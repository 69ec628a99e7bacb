"""A message that is handled alone, by the shop's own handlers."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from messaging.outbox import handling
from messaging.subscribers import all_subscribers


@dataclass(frozen=True, kw_only=True)
class Message:
    """What the shop's handlers read of a message."""

    message_id: UUID
    type: str
    version: int
    key: str
    payload: str
    published_at: datetime
    correlation_id: UUID
    causation_id: UUID | None = None
    traceparent: str = ""


def is_transactional(subscriber: str) -> bool:
    """Return whether a subscriber runs inside a transaction. It calls an external service otherwise."""
    return all_subscribers()[subscriber].transactional


def react(subscriber: str, message: Message) -> None:
    """Have a subscriber react to one message."""
    chosen = all_subscribers()[subscriber]
    with handling([message]):
        chosen.react([chosen.decode(message.type, message.payload)])
