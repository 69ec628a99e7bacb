"""Connections to a broker that can be cut: through a TCP proxy, or by what the mock of Kafka does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import urlsplit

from messaging.transports.protocol import Broker
from tests.messaging.transports.kafka_cluster import KafkaCluster, kafka_cluster


class Proxy:
    """
    Forwards connections to a server.

    :param upstream: host and port of the server.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._sockets: list[socket.socket] = []
        self._bytes_left: int | None = None
        self._is_holding = False
        self.port = 0
        self.open()

    def open(self) -> None:
        """Listen, again at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Cut all connections. New ones are forwarded."""
        self._bytes_left, self._is_holding = None, False
        sockets, self._sockets = self._sockets, []
        self._close(*sockets)

    def cut_after(self, count: int) -> None:
        """Cut all connections when clients have sent so many more bytes."""
        self._bytes_left = count

    def hold(self) -> None:
        """Forward nothing that clients send, until all connections are cut."""
        self._is_holding = True

    def close(self) -> None:
        """Cut all connections, and refuse new ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # its thread would accept one more
        self._listener.close()
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._upstream)
                self._sockets += [client, server]
                threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(4096):
                if is_client and self._is_holding:
                    continue
                if is_client and self._bytes_left is not None:
                    self._bytes_left -= len(data)
                    if self._bytes_left < 0:
                        self.cut()
                        return
                target.sendall(data)
        self._close(source, target)

    @staticmethod
    def _close(*ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Link(Protocol):
    """A way to a broker."""

    broker: Broker

    def cut(self) -> None:
        """Cut all connections. Others may be opened at once."""

    def cut_in_the_middle(self) -> AbstractContextManager[None]:
        """Cut connections during the block, after a part of the next set was sent."""

    def down(self) -> AbstractContextManager[None]:
        """Cut all connections and refuse others during the block."""


@dataclass(frozen=True, kw_only=True)
class BrokerBehindProxy(Broker):
    """A broker that advertises the address of a proxy: all connections to it can be cut."""

    proxy: Proxy


class ProxiedLink:
    def __init__(self, broker: Broker, proxy: Proxy) -> None:
        self.broker = replace(broker, url=broker.url.replace(broker.address, f"127.0.0.1:{proxy.port}"))
        self._proxy = proxy

    def cut(self) -> None:
        self._proxy.cut()

    @contextmanager
    def cut_in_the_middle(self) -> Iterator[None]:
        self._proxy.cut_after(30_000)
        yield

    @contextmanager
    def down(self) -> Iterator[None]:
        self._proxy.close()
        try:
            yield
        finally:
            self._proxy.open()


class KafkaLink:
    def __init__(self, broker: Broker, cluster: KafkaCluster) -> None:
        self.broker = replace(broker, url=f"{broker.url}&message.timeout.ms=3000")
        self._cluster = cluster

    def cut(self) -> None:
        self._cluster.stop()
        self._cluster.start()

    def cut_in_the_middle(self) -> AbstractContextManager[None]:
        return self.down()

    @contextmanager
    def down(self) -> Iterator[None]:
        self._cluster.stop()
        try:
            yield
        finally:
            self._cluster.start()


class TansuLink:
    def __init__(self, broker: BrokerBehindProxy) -> None:
        self.broker = replace(broker, url=f"{broker.url}&message.timeout.ms=3000")
        self.cut = broker.proxy.cut

    @contextmanager
    def cut_in_the_middle(self) -> Iterator[None]:
        self.broker.proxy.hold()
        yield
        self.cut()


@contextmanager
def link_to(broker: Broker) -> Iterator[Link]:
    """Yield a way to this broker."""
    parts = urlsplit(broker.url)
    if isinstance(broker, BrokerBehindProxy):
        yield TansuLink(broker)
    elif parts.scheme == "kafka":
        yield KafkaLink(broker, kafka_cluster())
    else:
        proxy = Proxy((parts.hostname, parts.port))
        yield ProxiedLink(broker, proxy)
        proxy.close()
