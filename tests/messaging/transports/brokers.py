"""Brokers of the tests. Each test has names of its own there, which are removed after it."""

import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import product
from time import sleep
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from messaging.transports.protocol import SET_SIZE, SHARDS, Adapter, Broker, Outgoing, Received, is_received, shard_of
from tests.messaging.transports.kafka_cluster import kafka_cluster

AMQP_URL = "amqp://127.0.0.1:5672/"
SERVICES = ("shop", "orders", "inventory", "payments", "notifications", "suppliers")
KAFKA_OPTIONS = "session.timeout.ms=3000&heartbeat.interval.ms=300"
"""The mock lets a receiver join again when the session of the last one would have ended."""
REDIS_URL = "redis://127.0.0.1:6379/0"


@dataclass
class Cursor:
    """How far a service has read a shard, and the connection that reads it."""

    settled: int = 0
    reader: "MemoryTransport | None" = None


@dataclass
class MemoryBroker:
    shards: list[list[Outgoing]] = field(default_factory=lambda: [[] for _ in range(SHARDS)])
    cursors: dict[str, list[Cursor]] = field(default_factory=dict)


BROKERS: dict[str, MemoryBroker] = {}


class MemoryTransport:
    """A broker in this process: what the protocol asks of all others, at its simplest."""

    adapter = Adapter(f"{__name__}.MemoryTransport", "json", "")

    def __init__(self, broker: Broker) -> None:
        self._broker = BROKERS.setdefault(broker.prefix, MemoryBroker())
        self._cursors = self._broker.cursors.setdefault(broker.service, [Cursor() for _ in range(SHARDS)])
        self._types: Collection[str] = ()
        self._read: dict[int, int] = {}

    def connect(self, types: Collection[str] = ()) -> None:
        self._types = types

    def send(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            self._broker.shards[shard_of(message.key)].append(message)

    def receive(self, *, timeout: float) -> Sequence[Received]:
        received = [message for shard, cursor in enumerate(self._cursors) for message in self._entries(shard, cursor)]
        sleep(0 if received else min(timeout, 0.01))
        return received

    def settle(self, received: Sequence[Received]) -> None:
        for shard, position in self._read.items():
            self._cursors[shard].settled = position

    def lag(self) -> int:
        return sum(len(self._broker.shards[shard]) - cursor.settled for shard, cursor in enumerate(self._cursors))

    def close(self) -> None:
        for cursor in self._cursors:
            cursor.reader = None if cursor.reader is self else cursor.reader

    def _entries(self, shard: int, cursor: Cursor) -> Iterator[Received]:
        cursor.reader = cursor.reader or self
        if cursor.reader is self:
            entries = self._broker.shards[shard][cursor.settled :][: SET_SIZE // SHARDS]
            self._read[shard] = cursor.settled + len(entries)
            yield from (Received(entry.body, None) for entry in entries if is_received(entry.type, self._types))


@contextmanager
def memory() -> Iterator[Broker]:
    yield (broker := new_broker("memory://"))
    BROKERS.pop(broker.prefix, None)


@contextmanager
def redis_streams() -> Iterator[Broker]:
    yield (broker := new_broker(REDIS_URL))
    with redis.Redis.from_url(REDIS_URL) as client:
        names = list(client.scan_iter(f"{broker.prefix}.*"))
        client.delete(*names, "none")


@contextmanager
def amqp() -> Iterator[Broker]:
    yield (broker := new_broker(AMQP_URL))
    delete_from_rabbitmq(broker)


def delete_from_rabbitmq(broker: Broker) -> None:
    pika = pytest.importorskip("pika")
    with closing(pika.BlockingConnection(pika.URLParameters(broker.url))) as connection:
        channel = connection.channel()
        for service, shard in product(SERVICES, range(SHARDS)):
            channel.queue_delete(f"{broker.prefix}.{service}.{shard}")
        channel.queue_delete(f"{broker.prefix}.unclaimed")
        for exchange in ("events", "unclaimed"):
            channel.exchange_delete(f"{broker.prefix}.{exchange}")


@contextmanager
def kafka_mock() -> Iterator[Broker]:
    pytest.importorskip("confluent_kafka")
    yield new_kafka_broker()


def new_kafka_broker() -> Broker:
    """Return the mock of Kafka, with a topic that nothing else uses: the mock lets no client create it."""
    broker = new_broker(f"kafka://{kafka_cluster().address}/?{KAFKA_OPTIONS}")
    kafka_cluster().create_topic(f"{broker.prefix}.events", partitions=SHARDS)
    return broker


def new_broker(url: str) -> Broker:
    """Return a broker with names that nothing else uses. Skip the test if no server is there; `.ci/run` has all."""
    if url.startswith(("amqp", "redis")):
        try:
            socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 2).close()
        except OSError:
            pytest.skip(f"nothing answers at {url}")
    return Broker(url=url, service="shop", prefix=f"test-{uuid4().hex[:12]}")
