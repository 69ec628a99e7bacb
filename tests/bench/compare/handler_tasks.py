"""The shop's own handlers as tasks: one for each event and subscriber."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from messaging.contracts import Event, encode
from messaging.kernel.ids import new_id
from messaging.subscribers import subscribers_of

from . import single
from .celery_app import app

FARTHEST_ETA = timedelta(minutes=1)


def publish_all(events: Sequence[Event], *, at: datetime | None = None) -> None:
    """
    Send a task for each event and subscriber after the commit. Events of days ahead, such as reminders, are left out:
    workers hold all ETAs in memory, so a periodic task would look for what they are about.
    """
    now = timezone.now()
    if at and at > now + FARTHEST_ETA:
        return
    for event in events:
        message = _as_json(event, now)
        for subscriber in subscribers_of(type(event)):
            transaction.on_commit(partial(react.apply_async, (subscriber.name, message), eta=at))


@app.task(autoretry_for=(Exception,), max_retries=20, retry_backoff=1, retry_backoff_max=30)
def react(subscriber: str, message: dict[str, Any]) -> None:
    """Have a subscriber react to one event."""
    ids = {name: UUID(message[name]) for name in ("message_id", "correlation_id")}
    published_at = datetime.fromisoformat(message["published_at"])
    with transaction.atomic() if single.is_transactional(subscriber) else nullcontext():
        single.react(subscriber, single.Message(**message | ids | {"published_at": published_at}))


def _as_json(event: Event, now: datetime) -> dict[str, Any]:
    id_ = new_id()
    message = single.Message(
        message_id=id_,
        type=event.type,
        version=event.version,
        key=event.key,
        payload=encode(event),
        published_at=now,
        correlation_id=id_,
    )
    return {
        name: str(value) if isinstance(value, UUID | datetime) else value for name, value in asdict(message).items()
    }
