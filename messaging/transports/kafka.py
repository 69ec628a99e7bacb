"""
Events over Kafka: one topic, a consumer group per service. A key has its partition, and a partition one receiver.

Options of librdkafka may follow in the URL: kafka://user:password@host:9092,other:9092/?sasl.mechanism=SCRAM-SHA-512.
With a user the connection is encrypted unless `security.protocol` says otherwise.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from messaging.subscribers import PartlyUnavailable, Permanent, Unavailable

from .protocol import (
    CONNECT_SECONDS,
    CONTENT_TYPE,
    RETENTION,
    SEND_SECONDS,
    SET_SIZE,
    SHARDS,
    Broker,
    Outgoing,
    Received,
    is_received,
)

logger = logging.getLogger(__name__)

MOST_BYTES = 10_000_000
PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 1,
    "message.max.bytes": MOST_BYTES,
    "message.timeout.ms": (SEND_SECONDS - 1) * 1000,
}
CONSUMER = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "range",
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 1500,
}

REJECTIONS = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001  (the names of librdkafka's own errors)
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
REBALANCED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._NO_OFFSET,  # noqa: SLF001
}
"""Another receiver has the partition: it receives again what could not be settled here."""


class KafkaTransport:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topic, self._group = f"{broker.prefix}.events", f"{broker.prefix}.{broker.service}"
        self._types: Collection[str] = ()
        self._producer: Any = None
        self._consumer: Any = None
        self._positions: dict[int, int] = {}
        """The offset after the last message that was received, by partition."""
        self._rejection: KafkaError | None = None
        self._outage: KafkaError | None = None

    def connect(self, types: Collection[str] = ()) -> None:
        with self._raising_unavailable():
            self._create_topic(AdminClient(self._options({}), logger=logger))
            if types:
                self._types = types
                self._consumer = Consumer(self._options(CONSUMER | {"group.id": self._group}), logger=logger)
                self._consumer.subscribe([self._topic], on_revoke=self._forget, on_lost=self._forget)
            else:
                self._producer = Producer(self._options(PRODUCER), logger=logger)

    def send(self, messages: Sequence[Outgoing]) -> None:
        unconfirmed = {message.key: KafkaError(KafkaError._TIMED_OUT) for message in messages}  # noqa: SLF001
        for message in messages:
            self._produce(message, unconfirmed)
        if self._producer.flush(SEND_SECONDS):
            self._producer.purge()
        if not unconfirmed:
            return
        reason = next(iter(unconfirmed.values()))
        if reason.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise Permanent(f"Kafka rejects a message: {reason}")
        if len(unconfirmed) == len({message.key for message in messages}):
            raise self._unavailable(reason)
        raise PartlyUnavailable(str(self._unavailable(reason)), keys=unconfirmed)

    def receive(self, *, timeout: float) -> Sequence[Received]:
        with self._raising_unavailable():
            first = self._consumer.poll(timeout)
            # Compared with None, because a message without a value is false.
            if self._outage and first is None:  # the client would wait, however long the brokers are down
                raise KafkaException(self._outage)
            self._outage = None
            messages = [] if first is None else [first, *self._consumer.consume(SET_SIZE - 1, timeout=0)]
        for message in messages:
            if error := message.error():
                raise self._unavailable(error)
            self._positions[message.partition()] = message.offset() + 1
        return [Received(message.value() or b"", None) for message in messages if self._is_wanted(message)]

    def settle(self, received: Sequence[Received]) -> None:
        offsets = [TopicPartition(self._topic, *position) for position in self._positions.items()]
        with self._raising_unavailable():
            try:
                if offsets:
                    self._consumer.commit(offsets=offsets, asynchronous=False)
            except KafkaException as error:
                if error.args[0].code() not in REBALANCED:
                    raise

    def lag(self) -> int:
        with self._raising_unavailable():
            consumer = Consumer(self._options(CONSUMER | {"group.id": self._group}), logger=logger)
            try:
                topic = consumer.list_topics(self._topic, CONNECT_SECONDS).topics[self._topic]
                partitions = [TopicPartition(self._topic, number) for number in topic.partitions]
                positions = consumer.committed(partitions, CONNECT_SECONDS) if partitions else []
                return sum(self._lag_of(consumer, position) for position in positions)
            finally:
                consumer.close()

    def close(self) -> None:
        with suppress(KafkaException, RuntimeError):
            if self._consumer:
                self._consumer.close()
        if self._producer:
            self._producer.purge()
            self._producer.flush(0)
        self._producer = self._consumer = None

    def _lag_of(self, consumer: Any, position: TopicPartition) -> int:
        """
        Return how many messages of a partition are new; all if the group has committed nothing.
        """
        first, end = consumer.get_watermark_offsets(position, CONNECT_SECONDS)
        return int(end - max(first, position.offset))

    def _options(self, of_role: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the options of a client of librdkafka. Those in the URL replace others.
        """
        url = urlsplit(self._broker.url)
        options: dict[str, Any] = {
            **of_role,
            "bootstrap.servers": self._broker.address,
            "client.id": self._broker.service,
            "error_cb": self._note_error,
            "socket.keepalive.enable": True,
        }
        if url.username:
            options |= {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}
            options |= {"sasl.username": unquote(url.username), "sasl.password": unquote(url.password or "")}
        return options | dict(parse_qsl(url.query))

    def _create_topic(self, admin: AdminClient) -> None:
        if self._topic in admin.list_topics(timeout=CONNECT_SECONDS).topics:
            return
        config = {"retention.ms": str(int(RETENTION.total_seconds() * 1000)), "max.message.bytes": str(MOST_BYTES)}
        created = admin.create_topics([NewTopic(self._topic, SHARDS, config=config)], operation_timeout=CONNECT_SECONDS)
        try:
            created[self._topic].result(CONNECT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        except TimeoutError as error:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from error  # noqa: SLF001

    def _produce(self, message: Outgoing, unconfirmed: dict[str, KafkaError]) -> None:
        def note(error: KafkaError | None, _: object) -> None:
            if error:
                unconfirmed[message.key] = error
            else:
                unconfirmed.pop(message.key, None)

        headers: dict[str, str | bytes | None] = {"content-type": CONTENT_TYPE, "type": message.type}
        try:
            self._producer.produce(self._topic, message.body, message.key.encode(), headers=headers, on_delivery=note)
        except KafkaException as error:
            unconfirmed[message.key] = error.args[0]

    def _forget(self, *_: object) -> None:
        """
        Settle nothing of partitions that other receivers may have now.
        """
        self._positions.clear()

    def _is_wanted(self, message: Any) -> bool:
        type_ = dict(message.headers() or ()).get("type") or b""
        return is_received(type_.decode(errors="replace"), self._types)

    def _note_error(self, error: KafkaError) -> None:
        if error.code() in REJECTIONS:
            self._rejection = error
        if error.code() in REJECTIONS or error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._outage = error

    @contextmanager
    def _raising_unavailable(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from error

    def _unavailable(self, error: KafkaError) -> Unavailable:
        rejection = self._rejection or (error if error.code() in REJECTIONS else None)
        if rejection:
            detail = "rejects the user, the password or the options in TRANSPORT_URL"
            return Unavailable(f"Kafka at {self._broker.address} {detail}: {rejection.str()}")
        return Unavailable(f"Kafka at {self._broker.address} is not available: {error.str()}")
