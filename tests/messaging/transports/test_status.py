"""
What operators see of receivers and brokers, over each transport.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from django.utils import timezone

from messaging import liveness, status
from messaging.liveness import Liveness, take_over_from_dead_workers
from messaging.models import OutboxMessage, ReceiverState, Worker
from messaging.receiver import Receiver
from messaging.status import BrokerStatus, ReceiverStatus, lag_of, outbox_status
from messaging.subscribers import Unavailable
from messaging.transports.protocol import Broker, connected
from shop.settings.groups import TransportSettings
from tests.messaging.concurrency import in_thread
from tests.messaging.test_status import print_status
from tests.messaging.transports import brokers
from tests.messaging.transports.messages import TYPE, numbered, outgoing
from tests.messaging.transports.test_programs import DIED
from tests.operators import page
from tests.processes import Process, database_url, kill, manage
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _hasty(monkeypatch) -> None:
    """Record the state of this process's receivers at once."""
    monkeypatch.setattr(liveness, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(liveness, "RECORD_SECONDS", 0)


@pytest.fixture(params=[brokers.amqp, brokers.redis_streams, brokers.kafka_mock])
def broker(request) -> Iterator[Broker]:
    """A broker that other processes can reach, and that knows what waits."""
    with request.param() as broker:
        yield broker


@contextmanager
def receiver() -> Iterator[None]:
    """Run a receiver as `manage.py receive` does during the block."""
    stop, of_service = threading.Event(), Receiver({TYPE})

    def run() -> None:
        with Liveness(reporters=[of_service]).maintained():
            of_service.run(stop)

    with in_thread(run):
        try:
            yield
        finally:
            stop.set()


def broker_status() -> BrokerStatus:
    return outbox_status(timezone.now()).broker


def the_receiver() -> ReceiverStatus:
    [receiver] = broker_status().receivers
    return receiver


def states() -> list[str]:
    return [receiver.state for receiver in broker_status().receivers]


@pytest.mark.usefixtures("paint", "connected_shop")
class TestReceiver:
    def test_shows_its_connection_and_its_last_set(self, broker, sender, admin_client):
        before = timezone.now()
        with receiver():
            eventually(lambda: states() == ["connected"])
            assert the_receiver().received_at is None

            sender.send(numbered("RED-CHAIR", 3))
            eventually(lambda: OutboxMessage.objects.count() == 3)
            eventually(lambda: the_receiver().set_size in {1, 2, 3})

            shown = the_receiver()
            assert before < shown.since < shown.received_at < timezone.now()
            assert (shown.error, shown.retry_at) == ("", None)
            assert (broker_status().address, broker_status().lag) == (broker.address, 0)
            assert print_status()[0] == 0
            shown_to_operators = admin_client.get(page(ReceiverState)).content.decode()
            assert f"<h2>{broker_status().describe_lag()}</h2>" in shown_to_operators
            assert '<td class="field-state">connected</td>' in shown_to_operators

        assert broker_status().receivers == []

    def test_shows_why_it_is_disconnected_until_it_is_connected_again(self, link, settings):
        settings.TRANSPORT = replace(settings.TRANSPORT, url=link.broker.url)
        with receiver():
            eventually(lambda: states() == ["connected"])
            began = the_receiver().since

            with link.down():
                eventually(lambda: states() == ["disconnected"])
                shown = the_receiver()
                code, output = print_status()

            assert shown.since > began
            assert shown.retry_at > shown.since
            assert "is not available" in shown.error
            assert code == 1
            assert f"The receiver in process {shown.process} on {shown.host} is disconnected since " in output
            eventually(lambda: states() == ["connected"])
            assert (the_receiver().error, the_receiver().retry_at) == ("", None)

    def test_is_missed(self, broker, monkeypatch):
        monkeypatch.setattr(status, "wanted_types", lambda: {TYPE})

        assert print_status()[1].endswith("Needs attention:\nNo receiver runs: start qcluster, or receive.\n")


class TestKilledReceiver:
    def test_is_shown_as_dead_at_once_and_removed_by_the_next_worker(self, broker, settings, tmp_path):
        settings.TRANSPORT = TransportSettings(url=broker.url, prefix=broker.prefix, service=broker.service)
        environment = {"DATABASE_URL": database_url(), "TRANSPORT_URL": broker.url, "TRANSPORT_PREFIX": broker.prefix}
        with Process(tmp_path / "receive.txt", manage("receive"), environment=environment) as program:
            eventually(lambda: states() == ["connected"])
            connected(broker).send([outgoing(DIED)])
            eventually(lambda: the_receiver().received_at)
            assert the_receiver().process == program.pid

            kill(program.pid)
            eventually(lambda: states() == ["dead"])

        code, output = print_status("--json")
        assert (code, json.loads(output)["broker"]["receivers"][0]["state"]) == (1, "dead")
        assert ReceiverState.objects.get().status == "connected"
        take_over_from_dead_workers()
        assert not ReceiverState.objects.exists()
        assert not Worker.objects.exists()


class TestLag:
    def test_is_shown_with_the_rest_unless_the_broker_is_down(self, unreachable, settings):
        settings.TRANSPORT = TransportSettings(
            url=unreachable.url, prefix=unreachable.prefix, service=unreachable.service
        )

        code, output = print_status()

        assert code == 1
        assert "Messages that wait for this service at the broker 127.0.0.1:1: unknown.\n" in output
        assert "at 127.0.0.1:1 is not available" in output
        assert "Subscribers with nothing to deliver: " in output

    def test_is_missing_in_the_admin_while_the_broker_is_down(self, unreachable, settings, admin_client):
        settings.TRANSPORT = TransportSettings(url=unreachable.url, prefix=unreachable.prefix)

        assert "at 127.0.0.1:1 is not available" in admin_client.get(page(ReceiverState)).content.decode()

    def test_is_not_waited_for_longer_than_its_deadline(self, unreachable, monkeypatch):
        monkeypatch.setattr(status, "LAG_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as mute:
            address = f"127.0.0.1:{mute.getsockname()[1]}"
            url = unreachable.url.replace(unreachable.address, address)

            with pytest.raises(Unavailable, match=f"The broker at {address} does not answer within 0.2 s."):
                lag_of(replace(unreachable, url=url))
