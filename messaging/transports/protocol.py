"""
What every transport does, whichever broker is behind it.

Order per key: messages with the same key go to the same shard (a queue, a stream or a partition), and one receiver of a
service reads a shard at a time. Delivery is at least once: what is not settled is received again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit
from zlib import crc32

from django.utils.module_loading import import_string

from messaging.contracts import event_types

CONTENT_TYPE = "application/cloudevents+json"

SHARDS = 8
"""Queues or streams of a service. Another number changes the shard of a key: then stop all senders until all that was
sent is received."""

SET_SIZE = 200
"""Messages that are received at a time."""

RETENTION = timedelta(days=7)
"""How long brokers keep messages that a service has not received, or that no service has asked for."""

SEND_SECONDS, CONNECT_SECONDS = 10, 5
"""Deadlines, together below the time that a handler may take."""


class Adapter(NamedTuple):
    path: str
    client: str
    """The module of its client library."""
    extra: str
    """The optional dependency in `pyproject.toml` that installs it; none if it is always installed."""


AMQP = Adapter("messaging.transports.amqp.AmqpTransport", "pika", "amqp")
KAFKA = Adapter("messaging.transports.kafka.KafkaTransport", "confluent_kafka", "kafka")
REDIS = Adapter("messaging.transports.redis_streams.RedisTransport", "redis", "")

ADAPTERS = {"amqp": AMQP, "amqps": AMQP, "kafka": KAFKA, "redis": REDIS, "rediss": REDIS}
"""The adapters by the scheme of TRANSPORT_URL."""


@dataclass(frozen=True, kw_only=True)
class Broker:
    """
    Where the broker is, which service this is, and the prefix of all names at the broker.
    """

    url: str = field(repr=False)
    service: str
    prefix: str

    @property
    def address(self) -> str:
        """
        Return host and port, without credentials.
        """
        return urlsplit(self.url).netloc.rpartition("@")[2]


class Outgoing(NamedTuple):
    type: str
    key: str
    body: bytes


class Received(NamedTuple):
    body: bytes
    receipt: Any
    """What the transport needs to settle it."""


class Transport(Protocol):
    """
    A connection to a broker. It is used by one thread at a time, and opened in the process that uses it.
    """

    def __init__(self, broker: Broker) -> None: ...

    def connect(self, types: Collection[str] = ()) -> None:
        """
        Connect, and create what is missing at the broker.

        :param types: the types to receive; none for a connection that only sends.
        :raises Unavailable: if the broker is down, or rejects the credentials.
        """

    def send(self, messages: Sequence[Outgoing]) -> None:
        """
        Send messages, and return when the broker has confirmed all of them.

        :raises Unavailable: if it confirmed none of them, or the connection is lost.
        :raises PartlyUnavailable: if it confirmed those with other keys only.
        """

    def receive(self, *, timeout: float) -> Sequence[Received]:
        """
        Return up to `SET_SIZE` messages of the types, those with the same key in order; none after so many seconds.
        Messages of types that no contract describes come with them: see `is_received`. RabbitMQ has only those that the
        service has asked for once, as a release does that was rolled back.

        :raises Unavailable: if the connection is lost.
        """

    def settle(self, received: Sequence[Received]) -> None:
        """
        Acknowledge all messages of the set that was received last.

        :raises Unavailable: if the connection is lost: then they are received again.
        """

    def lag(self) -> int | None:
        """
        Return how many messages wait at the broker for this service; None if the broker cannot tell.

        It needs no `connect`, and creates nothing at the broker. It may take longer than a caller wants to wait.
        Messages that a receiver has in hand count too, except on RabbitMQ.

        :raises Unavailable: if the broker is down, or rejects the credentials.
        """

    def close(self) -> None:
        """
        Close the connection; never raise.
        """


def new_transport(broker: Broker) -> Transport:
    """
    Return a transport, not connected, by the adapter for the broker's URL.
    """
    adapter: type[Transport] = import_string(ADAPTERS[urlsplit(broker.url).scheme].path)
    return adapter(broker)


def connected(broker: Broker, types: Collection[str] = ()) -> Transport:
    """
    Return a new connection to the broker; see `Transport.connect`.
    """
    transport = new_transport(broker)
    try:
        transport.connect(types)
    except BaseException:
        transport.close()
        raise
    return transport


def missing_client(url: str) -> str:
    """
    Return the extra that installs the client library for this URL; an empty text if it is installed.
    """
    adapter = ADAPTERS[urlsplit(url).scheme]
    return "" if find_spec(adapter.client) else adapter.extra


def is_received(type_: str, types: Collection[str]) -> bool:
    """
    Return whether who wants these types receives a message of this type: also if no contract describes it, because it
    may be of a newer release. The inbox keeps it until that is deployed.
    """
    return type_ in types or type_ not in event_types()


def shard_of(key: str) -> int:
    """
    Return the shard of the messages with this key, the same in each process and release.
    """
    return crc32(key.encode()) % SHARDS
