from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from messaging import sending
from messaging.transports import protocol, redis_streams
from messaging.transports.protocol import Broker, Transport, connected
from shop.settings.groups import TransportSettings
from tests.messaging.transports import brokers, servers
from tests.messaging.transports.brokers import MemoryTransport
from tests.messaging.transports.cases import CASES
from tests.messaging.transports.links import Link, link_to
from tests.messaging.transports.messages import TYPE

TRANSPORTS = {
    "memory": brokers.memory,
    "amqp": brokers.amqp,
    "redis": brokers.redis_streams,
    "kafka": brokers.kafka_mock,
    "tansu": servers.tansu,
}


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch) -> None:
    monkeypatch.setattr(redis_streams, "LEASE_SECONDS", 1)
    monkeypatch.setattr(redis_streams, "RENEW_SECONDS", 0.25)


@pytest.fixture(autouse=True)
def _skip_what_does_not_apply(request) -> None:
    """Skip a case over a transport that it is not for."""
    case = CASES.get(f"{request.cls.__name__}::{request.function.__name__}") if request.cls else None
    parameters = request.node.callspec.params if case else {}
    if case and (reason := case.not_over.get(parameters.get("broker") or parameters.get("server"))):
        pytest.skip(reason)


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.tansu if name == "tansu" else ()) for name in TRANSPORTS])
def broker(request, monkeypatch) -> Iterator[Broker]:
    """A broker of each kind, with names that no other test uses."""
    monkeypatch.setitem(protocol.ADAPTERS, "memory", MemoryTransport.adapter)
    with TRANSPORTS[request.param]() as broker:
        yield broker


@pytest.fixture
def connect(broker) -> Iterator[Callable[..., Transport]]:
    """Connect to the broker, as a service that receives these types, or only sends."""
    transports: list[Transport] = []

    def connect(*types: str, service: str = "shop") -> Transport:
        transports.append(connected(replace(broker, service=service), types))
        return transports[-1]

    yield connect
    for transport in transports:
        transport.close()


@pytest.fixture
def sender(connect) -> Transport:
    return connect()


@pytest.fixture
def receiver(connect) -> Transport:
    return connect(TYPE)


@pytest.fixture
def connected_shop(settings, broker, monkeypatch) -> Iterator[None]:
    """A shop that is connected to the broker."""
    connected(broker, [TYPE]).close()  # RabbitMQ keeps nothing for a service that it has never seen
    settings.TRANSPORT = TransportSettings(url=broker.url, prefix=broker.prefix, service=broker.service)
    monkeypatch.setattr(sending, "_sender", sending.Sender())
    yield
    sending._sender.close()


@pytest.fixture
def unreachable(broker, monkeypatch) -> Broker:
    """The broker, at an address where nothing answers."""
    monkeypatch.setattr("messaging.transports.kafka.CONNECT_SECONDS", 1)
    return replace(broker, url=broker.url.replace(broker.address, "127.0.0.1:1"))


@pytest.fixture
def link(broker) -> Iterator[Link]:
    """A connection to the broker that can be cut."""
    with link_to(broker) as link:
        yield link
