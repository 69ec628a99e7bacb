"""
Sending: with a broker, `messaging.transport` subscribes to every event that may leave this service, and sends it.

It is a subscriber like others: its deliveries commit with the change, are in order per key, pause while the broker is
down, and may become dead letters. Events that are published for later wait here until they are due.
"""

import threading
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings

from .backoff import most_deferrals_within
from .cloud_events import encode_cloud_event
from .contracts import Event, event_types
from .models import OutboxMessage
from .outbox import Cause, message_of
from .subscribers import PartlyUnavailable, subscriber
from .transports.protocol import Outgoing, Transport, connected

TRANSPORT = "messaging.transport"
"""The name of the subscriber."""

PATIENCE = timedelta(days=7)
"""How long a broker may be down before deliveries become dead letters."""


def register() -> None:
    """
    Subscribe the transport to all events that may leave this service.
    """
    events = [event for event in event_types().values() if not event.internal]
    deferrals = most_deferrals_within(PATIENCE)
    subscriber(*events, transactional=False, in_one_call=True, max_deferrals=deferrals)(transport)


def transport(events: Sequence[Event]) -> None:
    """
    Send events to the broker, and wait until it has confirmed them.

    :raises Unavailable: if the broker is down.
    :raises PartlyUnavailable: if it confirmed some of them only.
    """
    _sender.send([_outgoing(message_of(event)) for event in events])


def _outgoing(message: Cause) -> Outgoing:
    body = encode_cloud_event(
        OutboxMessage(
            id=message.message_id,
            type=message.type,
            version=message.version,
            key=message.key,
            payload=message.payload,
            correlation_id=message.correlation_id,
            causation_id=message.causation_id,
            traceparent=message.traceparent,
            published_at=message.published_at,
        ),
        source=settings.TRANSPORT.service,
    )
    return Outgoing(message.type, message.key, body)


class Sender:
    """
    The connection of this process. It is opened by the first set, and again after each failure.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transport: Transport | None = None

    def send(self, messages: Sequence[Outgoing]) -> None:
        with self._lock:
            if self._transport is None:
                self._transport = connected(settings.TRANSPORT.broker)
            try:
                self._transport.send(messages)
            except PartlyUnavailable:
                raise
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """
        Close the connection; the next set opens another.
        """
        if self._transport:
            self._transport.close()
        self._transport = None


_sender = Sender()
