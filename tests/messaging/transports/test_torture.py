"""
A broker of the test's own is stopped and killed while events flow. `make torture` takes longer for it than the suite.
"""

import signal
import time
from collections.abc import Iterator

import pytest

from messaging.transports.protocol import Broker
from tests.messaging.transports import killed_receiver
from tests.messaging.transports.servers import BrokerServer, KafkaMock, RabbitServer, RedisServer, Tansu
from tests.messaging.transports.traffic import Traffic, receivers
from tests.processes import Process, database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("paint")]

SERVERS = {"amqp": RabbitServer, "redis": RedisServer, "kafka": KafkaMock, "tansu": Tansu}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.tansu if name == "tansu" else ()) for name in SERVERS]
)
def server(request, tmp_path_factory) -> Iterator[BrokerServer]:
    """A server that runs before each test and after it."""
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def broker(server) -> Broker:
    return server.broker()


@pytest.fixture
def traffic(connected_shop) -> Iterator[Traffic]:
    """Events that flow to two receivers of one service."""
    with receivers(2), Traffic() as traffic:
        traffic.wait_until_it_flows()
        yield traffic


class TestServer:
    @pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.torture)])
    def test_that_was_stopped_has_lost_and_doubled_nothing(self, server, traffic, seconds, summarize):
        server.stop()
        time.sleep(seconds)
        server.start()

        recovery = traffic.wait_until_it_flows()

        summarize(f"{server.name}, stopped for {seconds} s: events flowed again {recovery:.1f} s after it had started")
        assert traffic.longest_set > seconds
        assert traffic.deliver() == traffic.expected

    @pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.torture)])
    def test_that_was_killed_has_lost_and_doubled_nothing(self, server, traffic, times, summarize):
        server.write_names_of_queues()
        for _ in range(times):
            server.kill()
            traffic.wait_for_an_outage()
            server.start()
            recovery = traffic.wait_until_it_flows()
            summarize(f"{server.name}, killed: events flowed again {recovery:.1f} s after it had started")

        assert traffic.deliver() == traffic.expected


@pytest.mark.torture
@pytest.mark.usefixtures("connected_shop")
class TestKilledReceivers:
    def test_lose_and_double_nothing(self, server, broker, tmp_path):
        environment = {
            "DATABASE_URL": database_url(),
            "TRANSPORT_URL": broker.url,
            "TRANSPORT_PREFIX": broker.prefix,
            "SERVICE_NAME": broker.service,
        }
        with Traffic() as traffic:
            for number in range(3):
                log = tmp_path / f"receivers-{number}.txt"
                pair = [Process(log, killed_receiver.COMMAND, environment=environment) for _ in range(2)]
                with pair[0], pair[1]:
                    assert [process.wait() for process in pair] == [-signal.SIGKILL] * 2
            with receivers(2):
                traffic.wait_until_it_flows()
                assert traffic.deliver() == traffic.expected
