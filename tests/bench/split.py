"""
The shop as services over one broker: `python -m tests.bench.split`, in a process that reads all their databases.

The broker is the bench's own, so that it can be stopped. That of Kafka is the mock in librdkafka, within this process.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import django

django.setup()

from django.db.models import QuerySet  # noqa: E402
from django.utils import timezone  # noqa: E402

from inventory.models import Reservation  # noqa: E402
from messaging.contracts import Line, OrderPlaced  # noqa: E402
from messaging.kernel.ids import new_id  # noqa: E402
from messaging.models import OutboxMessage  # noqa: E402
from messaging.transports.protocol import SET_SIZE, Broker, connected, new_transport  # noqa: E402
from shop.operations.databases import home_of  # noqa: E402
from tests.messaging.transports.messages import outgoing  # noqa: E402
from tests.messaging.transports.servers import KafkaMock, RabbitServer, RedisServer  # noqa: E402
from tests.waiting import eventually  # noqa: E402

from .http_requests import Caller  # noqa: E402
from .programs import RunningShop  # noqa: E402
from .services import Services  # noqa: E402
from .shop import place_to_mail  # noqa: E402
from .stages import commit_to_handler  # noqa: E402
from .web import place_over_http  # noqa: E402
from .work import count_work, require_work, wait_for_mails  # noqa: E402

SERVERS = {"redis": RedisServer, "amqp": RabbitServer, "kafka": KafkaMock}
Server = RedisServer | RabbitServer | KafkaMock
Figures = Iterator[tuple[str, dict[str, float]]]

CONNECTIONS = 8
STEADY_PER_SECOND, STEADY_SECONDS = 20, 10
QUIET_ORDERS = 200
RECEIVER = "inventory"
RECEIVE_SECONDS = 600


def main() -> None:
    """Read the options of `tests.bench` from the input, and write the figures to a file in its folder."""
    options = json.load(sys.stdin)
    folder = Path(options["folder"])
    (folder / "broker").mkdir()
    with SERVERS[options["transport"]](folder / "broker") as server:
        services = Services(folder, _broker(server))
        figures = _figures(services, server, **{name: options[name] for name in ("orders", "rate", "events")})
        measured = dict(figures)
    (folder / "figures").write_text(json.dumps(measured))


def _broker(server: Server) -> Broker:
    """Kafka answers a fetch as soon as there is an event; its mock only when the fetch ends, after half a second."""
    broker = server.broker()
    return replace(broker, url=f"{broker.url}&fetch.wait.max.ms=10") if isinstance(server, KafkaMock) else broker


def _figures(services: Services, server: Server, *, orders: int, rate: float, events: int) -> Figures:
    callers, name = services.open(), server.name
    broker = {} if isinstance(server, KafkaMock) else {"broker": server.pid}
    with services.running(**broker) as shop:
        place_to_mail(shop, callers, orders=min(200, orders), connections=CONNECTIONS)
        yield (
            f"shop as 4 services over {name}, 4 web processes, 4 workers",
            place_to_mail(shop, callers, orders=orders, connections=CONNECTIONS),
        )
        steady = min(orders, STEADY_PER_SECOND * STEADY_SECONDS)
        yield (
            f"commit to its handler in another service over {name}, {rate:g} orders/s",
            committed_to_handler(shop, callers, services.folder, orders=min(orders, QUIET_ORDERS), per_second=rate),
        )
        yield f"restart of {name}", restart(shop, callers, server, orders=steady)
    yield f"one receiver, {name}", receiver(services, events=events)


def committed_to_handler(
    shop: RunningShop, callers: Sequence[Caller], folder: Path, *, orders: int, per_second: float
) -> dict[str, float]:
    """
    Milliseconds from the commit of an order to its handler in another service, and those of each stage between, while
    orders arrive at a steady rate.
    """
    began = timezone.now()
    place_to_mail(shop, callers, orders=orders, connections=CONNECTIONS, per_second=per_second)
    placed = _messages().filter(published_at__gte=began).values_list("key", flat=True)
    assert len(placed) == orders
    return commit_to_handler(folder, placed)


def restart(shop: RunningShop, callers: Sequence[Caller], server: Server, *, orders: int) -> dict[str, float]:
    """Seconds from when a stopped broker accepts connections again until the events of these orders are handled."""
    before, began = count_work(shop.ledger), timezone.now()
    server.stop()
    place_over_http(shop.port, callers, orders=orders, connections=CONNECTIONS, per_second=STEADY_PER_SECOND)
    server.start()
    started = timezone.now()
    wait_for_mails(before, shop.ledger, orders=orders)
    shop.wait_until_delivered()
    require_work(before, count_work(shop.ledger), orders=orders)
    handled = _reserved_at(_messages().filter(published_at__gte=began).values_list("key", flat=True)).values()
    assert len(handled) == orders
    return {
        "events that waited": orders,
        "s without the broker": (started - began).total_seconds(),
        "s until the first is handled": (min(handled) - started).total_seconds(),
        "s until the last is handled": (max(handled) - started).total_seconds(),
    }


def receiver(services: Services, *, events: int) -> dict[str, float]:
    """Events per second that one process stores, from its first set until a full queue is empty."""
    stored_before = _messages().count()
    _send(services.broker, events)
    with services.receiver(RECEIVER) as process:
        first = _wait_until_stored(stored_before + 1)
        began = time.perf_counter()
        _wait_until_stored(stored_before + events)
        seconds = time.perf_counter() - began
        inbox = new_transport(replace(services.broker, service=RECEIVER))
        eventually(lambda: inbox.lag() == 0)
        process.stop()
    assert _messages().count() == stored_before + events
    return {"events": events, "events/s": (events - (first - stored_before)) / seconds}


def _send(broker: Broker, number: int) -> None:
    """Fill the queue of the receiver."""
    with closing(connected(broker)) as transport:
        for sent in range(0, number, SET_SIZE):
            transport.send([outgoing(_order()) for _ in range(min(SET_SIZE, number - sent))])


def _order() -> OrderPlaced:
    lines = (Line("SKU-001", 1), Line("SKU-002", 1))
    contact = {"customer_id": "17", "number": "K7MQ-2XPA", "email": "customer@example.com", "language": "en"}
    return OrderPlaced(order_id=str(new_id()), lines=lines, total=200, currency="GBP", **contact)


def _wait_until_stored(number: int) -> int:
    """Wait until the receiver has stored so many messages, and return how many it has stored."""
    eventually(lambda: _messages().count() >= number, within=RECEIVE_SECONDS, every=0.1)
    return _messages().count()


def _messages() -> QuerySet[OutboxMessage]:
    """Return the placed orders that the receiver has stored."""
    return OutboxMessage.objects.using(home_of(RECEIVER)).filter(type=OrderPlaced.type)


def _reserved_at(orders: Sequence[str]) -> dict[str, datetime]:
    """Return when the handler of each order was called, by its key."""
    reservations = Reservation.objects.filter(order_id__in=list(orders)).values_list("order_id", "created_at")
    return {str(order_id): at for order_id, at in reservations}


if __name__ == "__main__":
    main()
