"""Messages about products as they are sent, and what was received of them."""

import time
from collections.abc import Sequence
from itertools import chain

from messaging.cloud_events import decode_cloud_event, encode_cloud_event
from messaging.contracts import ProductAdded, encode
from messaging.kernel.ids import new_id
from messaging.models import OutboxMessage
from messaging.transports.protocol import Outgoing, Received, Transport
from tests.waiting import PATIENCE_SECONDS

TYPE = ProductAdded.type


def added(sku: str, name: str = "") -> Outgoing:
    """Return the message that a product was added, as it is sent."""
    return outgoing(ProductAdded(sku=sku, name=name))


def numbered(sku: str, count: int) -> list[Outgoing]:
    """Return messages with one key, named 0, 1, 2 and so on."""
    return [added(sku, str(number)) for number in range(count)]


def outgoing(event: ProductAdded) -> Outgoing:
    id_ = new_id()
    message = OutboxMessage(
        id=id_,
        type=event.type,
        version=event.version,
        key=event.key,
        payload=encode(event),
        correlation_id=id_,
        traceparent="",
        published_at="2026-01-01T12:00:00Z",
    )
    return Outgoing(event.type, event.key, encode_cloud_event(message, source="orders"))


def receive(transport: Transport, count: int, *, settle: bool = True) -> list[Received]:
    """Receive until there are so many messages, and return them."""
    sets: list[Sequence[Received]] = []
    end = time.monotonic() + PATIENCE_SECONDS
    while sum(map(len, sets)) < count:
        assert time.monotonic() < end, f"received {sum(map(len, sets))} of {count} messages"
        if received := transport.receive(timeout=0.1):
            sets.append(received)
            if settle:
                transport.settle(received)
    return list(chain.from_iterable(sets))


def names_by_sku(received: Sequence[Received]) -> dict[str, list[str]]:
    """Return the names of received products in order, by SKU."""
    names: dict[str, list[str]] = {}
    for message in received:
        product = decode_product(message.body)
        names.setdefault(product.sku, []).append(product.name)
    return names


def decode_product(body: bytes) -> ProductAdded:
    from messaging.contracts import decode

    return decode(TYPE, decode_cloud_event(body).payload)
