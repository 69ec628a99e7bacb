"""
Events over RabbitMQ: a topic exchange, and for each service a quorum queue per shard with a single active consumer.

The routing key is the shard and the type. Events that no service has asked for are kept in the queue `unclaimed`.
Pika's loop runs only while this waits for something, so a connection that sends, which may be idle, has no heartbeats.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

from pika import BasicProperties, BlockingConnection, DeliveryMode, SelectConnection, URLParameters
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)
from pika.exchange_type import ExchangeType
from pika.spec import Basic

from messaging.subscribers import PartlyUnavailable, Unavailable

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
    shard_of,
)

HEARTBEAT_SECONDS = 30
CLOSE_SECONDS = 1
MOST_UNCLAIMED_BYTES = 1_000_000_000
# RabbitMQ 4 drops a message after 20 deliveries unless a limit is set, and earlier versions take no -1 for "none".
QUORUM = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
REJECTIONS = (AuthenticationError, ProbableAccessDeniedError, ProbableAuthenticationError)
ACCESS_REFUSED, NOT_FOUND, NOT_ALLOWED = 403, 404, 530


class AmqpTransport:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._exchange, self._unclaimed = f"{broker.prefix}.events", f"{broker.prefix}.unclaimed"
        self._queues = [f"{broker.prefix}.{broker.service}.{shard}" for shard in range(SHARDS)]
        self._types: Collection[str] = ()
        self._connection: SelectConnection | None = None
        self._channel: Any = None
        self._is_ready = False
        self._error: BaseException | None = None
        self._sent = 0
        self._unconfirmed: dict[int, str] = {}
        """The keys of sent messages, by delivery tag."""
        self._rejected: set[str] = set()
        self._arrived: deque[Received] = deque()
        self._is_gathering = False

    def connect(self, types: Collection[str] = ()) -> None:
        self._types = types
        parameters = self._parameters(heartbeat=HEARTBEAT_SECONDS if types else 0)
        try:
            with closing(BlockingConnection(parameters)) as connection:
                self._declare(connection.channel())
        except (AMQPError, OSError) as error:
            raise self._unavailable(error) from error
        self._connection = SelectConnection(parameters, self._open_channel, self._fail, self._fail)
        self._wait_until(lambda: self._is_ready, CONNECT_SECONDS)
        if not self._is_ready:
            raise self._unavailable(TimeoutError(f"No answer within {CONNECT_SECONDS} s."))

    def send(self, messages: Sequence[Outgoing]) -> None:
        self._rejected.clear()
        self._unconfirmed.clear()
        for message in messages:
            self._publish(message)
        self._wait_until(lambda: not self._unconfirmed, SEND_SECONDS)
        if len(self._unconfirmed) == len(messages):
            raise self._unavailable(TimeoutError(f"It confirmed nothing within {SEND_SECONDS} s."))
        if keys := {*self._unconfirmed.values(), *self._rejected}:
            raise PartlyUnavailable(f"RabbitMQ at {self._broker.address} has not confirmed all messages.", keys=keys)

    def receive(self, *, timeout: float) -> Sequence[Received]:
        self._wait_until(lambda: bool(self._arrived), timeout)
        if self._arrived:
            self._gather()
        return [self._arrived.popleft() for _ in range(min(SET_SIZE, len(self._arrived)))]

    def settle(self, received: Sequence[Received]) -> None:
        # Tags count up in the order of arrival: this acknowledges the whole set.
        self._channel.basic_ack(received[-1].receipt, multiple=True)
        self._wait_until(lambda: True, 0)

    def lag(self) -> int:
        try:
            with closing(BlockingConnection(self._parameters(heartbeat=CONNECT_SECONDS))) as connection:
                channel = connection.channel()
                queues = [channel.queue_declare(queue, passive=True).method for queue in self._queues]
                return sum(queue.message_count for queue in queues)
        except (AMQPError, OSError) as error:
            if isinstance(error, ChannelClosedByBroker) and error.reply_code == NOT_FOUND:
                return 0
            raise self._unavailable(error) from error

    def close(self) -> None:
        if self._connection and self._error is None:
            with suppress(Exception):
                self._connection.close()
                self._wait_until(lambda: False, CLOSE_SECONDS)

    def _parameters(self, *, heartbeat: int) -> URLParameters:
        parameters = URLParameters(self._broker.url)
        parameters.heartbeat = heartbeat
        parameters.socket_timeout = parameters.stack_timeout = CONNECT_SECONDS
        parameters.connection_attempts = 1
        parameters.tcp_options = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
        parameters.client_properties = {"connection_name": self._broker.service}
        return parameters

    def _declare(self, channel: Any) -> None:
        kept = {"x-message-ttl": int(RETENTION.total_seconds() * 1000), "x-max-length-bytes": MOST_UNCLAIMED_BYTES}
        channel.exchange_declare(self._unclaimed, ExchangeType.fanout, durable=True)
        channel.queue_declare(self._unclaimed, durable=True, arguments=QUORUM | kept)
        channel.queue_bind(self._unclaimed, self._unclaimed)
        alternate = {"alternate-exchange": self._unclaimed}
        channel.exchange_declare(self._exchange, ExchangeType.topic, durable=True, arguments=alternate)
        for shard, queue in enumerate(self._consumed()):
            channel.queue_declare(queue, durable=True, arguments=QUORUM | {"x-single-active-consumer": True})
            for type_ in self._types:
                channel.queue_bind(queue, self._exchange, f"{shard}.{type_}")

    def _consumed(self) -> Sequence[str]:
        return self._queues if self._types else ()

    def _open_channel(self, connection: SelectConnection) -> None:
        connection.channel(on_open_callback=self._begin)

    def _begin(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._fail)
        channel.add_on_cancel_callback(lambda frame: self._fail(channel, RuntimeError("A queue was deleted.")))
        channel.add_on_return_callback(self._note_return)
        channel.basic_qos(prefetch_count=2 * SET_SIZE // SHARDS)  # for each queue: a set in hand and the next
        for queue in self._consumed():
            channel.basic_consume(queue, self._note_message)
        channel.confirm_delivery(self._note_confirm, self._note_ready)

    def _note_ready(self, _: Any) -> None:
        self._is_ready = True
        self._stop_waiting()

    def _gather(self) -> None:
        """
        Read what else has been sent by now, up to a set: one read of the socket holds a few messages only. The loop
        runs once for all reads, since its start costs more than they do.
        """
        self._is_gathering = True
        self._go_on_while_more_arrives(0)
        try:
            self._wait_until(lambda: True, CONNECT_SECONDS)
        finally:
            self._is_gathering = False

    def _go_on_while_more_arrives(self, known: int) -> None:
        if known < len(self._arrived) < SET_SIZE:
            loop = self._connection.ioloop  # type: ignore[union-attr]
            loop.call_later(0, partial(self._go_on_while_more_arrives, len(self._arrived)))
        else:
            self._stop_waiting()

    def _publish(self, message: Outgoing) -> None:
        self._raise_if_failed()
        properties = BasicProperties(CONTENT_TYPE, headers={"key": message.key}, delivery_mode=DeliveryMode.Persistent)
        routing_key = f"{shard_of(message.key)}.{message.type}"
        self._channel.basic_publish(self._exchange, routing_key, message.body, properties, mandatory=True)
        self._sent += 1
        self._unconfirmed[self._sent] = message.key

    def _note_confirm(self, frame: Any) -> None:
        method = frame.method
        first = min(self._unconfirmed, default=0) if method.multiple else method.delivery_tag
        tags = range(first, method.delivery_tag + 1)
        keys = [self._unconfirmed.pop(tag) for tag in tags if tag in self._unconfirmed]
        if isinstance(method, Basic.Nack):
            self._rejected.update(keys)
        self._stop_waiting()

    def _note_return(self, channel: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
        self._rejected.add((properties.headers or {})["key"])  # a confirmation follows nevertheless

    def _note_message(self, channel: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
        self._arrived.append(Received(body, method.delivery_tag))
        if not self._is_gathering:
            self._stop_waiting()

    def _fail(self, _: Any, reason: Any) -> None:
        self._error = self._error or (reason if isinstance(reason, BaseException) else RuntimeError(str(reason)))
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._connection:
            self._connection.ioloop.stop()

    def _wait_until(self, is_done: Callable[[], bool], seconds: float) -> None:
        """
        Run the loop until something is done, for so many seconds at most.

        :raises Unavailable: if the connection fails.
        """
        loop, end = self._connection.ioloop, time.monotonic() + seconds  # type: ignore[union-attr]
        is_first = True
        while is_first or (not is_done() and self._error is None and time.monotonic() < end):
            timer = loop.call_later(max(0, end - time.monotonic()), loop.stop)
            loop.start()
            loop.remove_timeout(timer)
            is_first = False
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        if self._error:
            raise self._unavailable(self._error) from self._error

    def _unavailable(self, error: BaseException) -> Unavailable:
        is_refused = isinstance(error, ConnectionClosedByBroker) and error.reply_code in {ACCESS_REFUSED, NOT_ALLOWED}
        if is_refused or isinstance(error, REJECTIONS):
            detail = "rejects the user, the password or the virtual host in TRANSPORT_URL"
            return Unavailable(f"RabbitMQ at {self._broker.address} {detail}: {error}")
        return Unavailable(f"RabbitMQ at {self._broker.address} is not available: {error!r}")
