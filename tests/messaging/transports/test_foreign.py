"""
Consumers that are not ours: the examples of `docs` read what a shop sends.
"""

import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import pytest
import redis
import yaml
from django.conf import settings

from messaging import inbox, sending, subscribers
from messaging.asyncapi import as_yaml
from messaging.cloud_events import encode_cloud_event
from messaging.contracts import OrderConfirmed
from messaging.inbox import store
from messaging.models import Delivery, OutboxMessage
from messaging.transports.protocol import Broker, Outgoing, Transport, connected
from orders.models import Order
from shop.settings.groups import TransportSettings
from tests.factories import make_stock, place_order
from tests.messaging.products import recorded
from tests.messaging.transports import brokers
from tests.messaging.transports.links import Proxy
from tests.messaging.transports.messages import TYPE, added, receive
from tests.node import NoPackage, package_of_node
from tests.processes import Process
from tests.waiting import PATIENCE_SECONDS, eventually

EXAMPLES = settings.BASE_DIR / "docs/examples"
UNREADABLE = [b"\xff{", b"null", b'{"id":"7","data":{}}', b'{"id":"7","data":{"lines":[null]}}']


def write_programs(folder: Path) -> None:
    """Write the programs of `consume-events.md` to files. The first line of each names its file."""
    page = (settings.BASE_DIR / "docs/how-to/consume-events.md").read_text(encoding="utf-8")
    for program in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        (folder / program.splitlines()[0].removeprefix("# ")).write_text(program, encoding="utf-8")


def packages_of_node() -> Path:
    """Return the folder of installed packages, amqplib among them. Skip the test without it; `.ci/run` has it."""
    try:
        return package_of_node("amqplib").parent
    except NoPackage as error:
        pytest.skip(str(error))


def resent(order: Order) -> Outgoing:
    """Return the message that an order was confirmed, as a publisher sends it again."""
    message = OutboxMessage.objects.get(type=OrderConfirmed.type, key=order.pk)
    return Outgoing(message.type, message.key, encode_cloud_event(message, source="shop"))


def event_id(order: Order) -> str:
    return str(OutboxMessage.objects.get(type=OrderConfirmed.type, key=order.pk).pk)


@contextmanager
def connected_to_rabbitmq() -> Iterator[Any]:
    """Yield a channel of pika, as another program than the shop opens it."""
    pika = pytest.importorskip("pika")
    with closing(pika.BlockingConnection(pika.URLParameters(brokers.AMQP_URL))) as connection:
        yield connection.channel()


def messages_in(queue: str, count: int) -> list[bytes]:
    """Wait until a queue of RabbitMQ has so many messages, and return them."""
    bodies: list[bytes] = []
    with connected_to_rabbitmq() as channel:
        eventually(lambda: bodies.extend(filter(None, [channel.basic_get(queue)[2]])) or len(bodies) == count)
    return bodies


def recorded_in(books: sqlite3.Connection) -> list[tuple[str, int, str]]:
    """Return the orders that the programs of `consume-events.md` have recorded, in order."""
    return books.execute("SELECT number, total, currency FROM orders ORDER BY rowid").fetchall()


def unreadable_in(books: sqlite3.Connection) -> set[bytes]:
    return {body for (body,) in books.execute("SELECT body FROM unreadable")}


def line_of(order: Order) -> str:
    return f"{order.number}: {order.lines.get().quantity} RED-CHAIR for {order.total} GBP"


def columns_of(order: Order) -> tuple[str, int, str]:
    return order.number, order.total, "GBP"


@pytest.fixture
def broker(request) -> Iterator[Broker]:
    """RabbitMQ, or the broker with which the test is parametrized."""
    with getattr(request, "param", brokers.amqp)() as broker:
        yield broker


@pytest.fixture
def sender(broker) -> Iterator[Transport]:
    with closing(connected(broker)) as sender:
        yield sender


@pytest.fixture
def confirm(broker, sender, settings, monkeypatch, drain) -> Iterator[Callable[[int], Order]]:
    """Place an order of so many red chairs in a shop that is connected to the broker, and confirm it."""
    settings.TRANSPORT = TransportSettings(url=broker.url, prefix=broker.prefix, service=broker.service)
    monkeypatch.setattr(subscribers, "_registry", subscribers.all_subscribers())
    monkeypatch.setattr(sending, "_sender", sending.Sender())
    sending.register()
    make_stock(100)

    def confirm(quantity: int) -> Order:
        order = place_order({"RED-CHAIR": quantity})
        drain()
        return order

    yield confirm
    sending._sender.close()


@pytest.fixture
def queue(broker) -> Iterator[str]:
    """The name of the consumer's queue."""
    yield (queue := f"{broker.prefix}.warehouse")
    with connected_to_rabbitmq() as channel:
        for name in (queue, f"{queue}.unreadable"):
            channel.queue_delete(name)
        channel.exchange_delete(f"{queue}.unreadable")


class Consumer(Process):
    """The example for Node, over a connection that can be cut."""

    def __init__(self, folder: Path, broker: Broker, queue: str) -> None:
        (folder / "node_modules").symlink_to(packages_of_node())
        self.proxy = Proxy(("127.0.0.1", 5672))
        environment = {
            "AMQP_URL": f"amqp://127.0.0.1:{self.proxy.port}/",
            "TRANSPORT_PREFIX": broker.prefix,
            "QUEUE": queue,
            "ORDERS": str(folder / "orders.txt"),
        }
        command = ["node", shutil.copy(EXAMPLES / "order_confirmed.mjs", folder)]
        super().__init__(folder / "consumer.txt", command, environment=environment)

    @property
    def orders(self) -> list[str]:
        """The orders that were printed since it was first started, and what it says about repetitions."""
        return [line for line in self.output.splitlines() if line.partition(" ")[0] != "reading"]

    def launch(self) -> None:
        self._began_at = len(self.output) if self.log.exists() else 0
        super().launch()

    def is_ready(self) -> bool:
        return "reading" in self.output[self._began_at :]


@pytest.fixture
def consumer(sender, broker, queue, tmp_path) -> Iterator[Consumer]:
    with Consumer(tmp_path, broker, queue) as consumer:
        yield consumer
    consumer.proxy.close()


@pytest.fixture
def reader(broker, sender, tmp_path) -> Iterator[Process]:
    """The program of `consume-events.md` for this broker."""
    write_programs(tmp_path)
    names = {"TRANSPORT_PREFIX": broker.prefix, "REDIS_URL": broker.url, "KAFKA_SERVERS": broker.address}
    program = f"{urlsplit(broker.url).scheme}_orders.py"
    command = ["sh", "-c", 'cd "$0" && exec "$@"', tmp_path, sys.executable, program]
    with Process(tmp_path / "reader.txt", command, environment=names) as reader:
        yield reader


@pytest.mark.django_db
class TestConsumeEvents:
    """The programs of `docs/how-to/consume-events.md`."""

    @pytest.mark.parametrize("broker", [brokers.redis_streams, brokers.kafka_mock], indirect=True)
    def test_read_each_order_once(self, reader, confirm, sender, tmp_path):
        first = confirm(1)
        with closing(sqlite3.connect(tmp_path / "orders.sqlite3")) as books:
            eventually(lambda: recorded_in(books) == [columns_of(first)], ignoring=sqlite3.OperationalError)
            reader.kill()
            sender.send([Outgoing(OrderConfirmed.type, str(number), body) for number, body in enumerate(UNREADABLE)])
            sender.send([resent(first)])
            second = confirm(2)

            reader.start()
            eventually(lambda: len(recorded_in(books)) == 2 and len(unreadable_in(books)) == len(UNREADABLE))

            assert recorded_in(books) == [columns_of(first), columns_of(second)]
            assert unreadable_in(books) == set(UNREADABLE)


def publish_to_redis(broker: Broker) -> None:
    with closing(redis.Redis.from_url(broker.url)) as client:
        client.xadd(f"{broker.prefix}.events.0", {"order": "17"})


def publish_to_rabbitmq(broker: Broker) -> None:
    with connected_to_rabbitmq() as channel:
        channel.basic_publish(f"{broker.prefix}.events", f"0.{TYPE}", b"")


def publish_to_kafka(broker: Broker) -> None:
    from confluent_kafka import Producer  # only where the tests of Kafka run

    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce(f"{broker.prefix}.events", None, "17")
    assert producer.flush(PATIENCE_SECONDS) == 0


@pytest.mark.django_db
class TestOtherPublishers:
    @pytest.mark.parametrize(
        ("broker", "publish"),
        [
            (brokers.amqp, publish_to_rabbitmq),
            (brokers.redis_streams, publish_to_redis),
            (brokers.kafka_mock, publish_to_kafka),
        ],
        indirect=["broker"],
    )
    def test_that_send_no_event_at_all_block_nothing(self, broker, publish, sender, paint, relay):
        inbox.register()
        with closing(connected(broker, [TYPE])) as receiver:
            publish(broker)
            sender.send([added("RED-CHAIR")])

            store([message.body for message in receive(receiver, 2)])
        relay.drain()

        assert recorded() == ["RED-CHAIR"]
        assert Delivery.objects.dead().get().subscriber == "messaging.receive"


class TestDescription:
    def test_of_the_exchange_and_the_routing_key_is_true(self, sender, broker, queue):
        channel = yaml.safe_load(as_yaml())["channels"]["rabbitmq"]
        exchange = channel["bindings"]["amqp"]["exchange"]["name"].replace("shop", broker.prefix)
        with connected_to_rabbitmq() as rabbitmq:
            rabbitmq.queue_declare(queue)
            rabbitmq.queue_bind(queue, exchange, "*.orders.product_added")
            sender.send([added("RED-CHAIR")])

            method, _, _ = rabbitmq.basic_get(queue)

        shard = str(crc32(b"RED-CHAIR") % 8)
        assert method.routing_key == channel["address"].format(shard=shard, type="orders.product_added")


@pytest.mark.django_db
class TestOrderConfirmed:
    def test_prints_the_orders_that_a_shop_confirms(self, consumer, confirm):
        orders = [confirm(quantity) for quantity in (1, 2, 3)]

        consumer.wait_for("3 RED-CHAIR")

        assert consumer.orders == [line_of(order) for order in orders]
        sent = Delivery.objects.filter(subscriber="messaging.transport", message__type=OrderConfirmed.type)
        assert set(sent.values_list("status", flat=True)) == {"delivered"}

    def test_prints_an_order_once_if_it_is_killed_before_its_acknowledgement(self, consumer, confirm):
        consumer.proxy.hold()  # its acknowledgements
        first = confirm(1)
        consumer.wait_for("1 RED-CHAIR")
        consumer.kill()
        consumer.proxy.cut()

        consumer.start()
        second = confirm(2)
        consumer.wait_for("2 RED-CHAIR")

        assert consumer.orders == [line_of(first), f"repeated: {event_id(first)}", line_of(second)]

    def test_prints_an_order_once_if_it_was_sent_twice(self, consumer, confirm, sender):
        first = confirm(1)
        sender.send([resent(first)])
        second = confirm(2)

        consumer.wait_for("2 RED-CHAIR")

        assert consumer.orders == [line_of(first), f"repeated: {event_id(first)}", line_of(second)]

    def test_keeps_orders_while_it_is_down(self, consumer, confirm):
        consumer.kill()
        order = confirm(1)

        consumer.start()
        consumer.wait_for("1 RED-CHAIR")

        assert consumer.orders == [line_of(order)]

    def test_puts_what_it_cannot_read_aside(self, consumer, confirm, sender, queue):
        sender.send([Outgoing(OrderConfirmed.type, str(number), body) for number, body in enumerate(UNREADABLE)])
        order = confirm(1)

        consumer.wait_for("1 RED-CHAIR")

        assert consumer.orders == [line_of(order)]
        assert sorted(messages_in(f"{queue}.unreadable", len(UNREADABLE))) == sorted(UNREADABLE)

    def test_ends_with_an_error_if_it_cannot_write(self, consumer, confirm, tmp_path):
        (tmp_path / "orders.txt").unlink()
        (tmp_path / "orders.txt").mkdir()
        confirm(1)

        assert consumer.wait() != 0
        assert "EISDIR" in consumer.output

    def test_ends_with_an_error_if_the_connection_is_lost(self, consumer):
        consumer.proxy.cut()

        assert consumer.wait() != 0
