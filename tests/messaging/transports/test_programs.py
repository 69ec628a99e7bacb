"""
Real workers, and `manage.py receive`, over Redis.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messaging import sending, subscribers
from messaging.contracts import DeliveryDied, OrderConfirmed
from messaging.models import Delivery
from messaging.relay import Relay
from messaging.transports.protocol import Broker, Outgoing, connected
from orders.models import Order
from shop.settings.groups import CONTEXTS, TransportSettings
from tests.commands import run_json
from tests.factories import make_stock, place_order
from tests.messaging.products import added, announce
from tests.messaging.transports import brokers
from tests.messaging.transports.messages import TYPE, names_by_sku, outgoing, receive
from tests.processes import Process, database_url, manage, run
from tests.programs import Cluster
from tests.shop.operations.audit.day import violated
from tests.waiting import eventually

DIED = DeliveryDied(
    delivery_id="7",
    message_id="0190a5f4-7c1e-7d3a-9b52-3f6d1c2e4a01",
    subscriber="payments.take_payment",
    event_type="orders.payment_requested",
    message_key="17",
    order_id="",
    number="",
    error_class="ValueError",
    fingerprint="0",
)
"""A dead letter of another service."""

MISSING_FIELD = "orders.order_confirmed: Object missing required field `order_id`"


def undecodable(order: Order) -> Outgoing:
    """Return an event about an order that lacks fields of its contract."""
    event = {"specversion": "1.0", "id": "1", "source": "shop", "type": OrderConfirmed.type, "subject": str(order.pk)}
    return Outgoing(OrderConfirmed.type, str(order.pk), json.dumps(event | {"data": {"total": 1}}).encode())


@pytest.fixture
def broker() -> Iterator[Broker]:
    with brokers.redis_streams() as broker:
        yield broker


@pytest.fixture
def environment(broker) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url(),
        "TRANSPORT_URL": broker.url,
        "TRANSPORT_PREFIX": broker.prefix,
        "LOG_LEVEL": "DEBUG",
    }


@pytest.mark.django_db(transaction=True)
class TestReceive:
    def test_receives_until_it_is_stopped(self, broker, environment, tmp_path):
        sender = connected(broker)
        with Process(tmp_path / "receive.txt", manage("receive"), environment=environment) as program:
            program.wait_for("Receiving 1 types of events from 127.0.0.1:6379")
            sender.send([outgoing(DIED)])
            eventually(Delivery.objects.exists)

            assert program.stop() < 5
            assert program.status == 0

        assert Delivery.objects.get().subscriber == "notifications.alert_of_dead_letter"

    def test_declares_what_keeps_events_until_it_runs(self, environment):
        with brokers.amqp() as broker:
            names = environment | {"TRANSPORT_URL": broker.url, "TRANSPORT_PREFIX": broker.prefix}

            declared = run(manage("receive", "--declare"), **names)

            assert (declared.status, declared.errors) == (0, "")
            assert declared.output == "Events of 1 types are kept for this service.\n"
            connected(broker).send([outgoing(DIED)])
            eventually(lambda: connected(broker).lag() == 1)

    def test_does_not_declare_at_a_broker_that_is_down(self, environment):
        refused = run(manage("receive", "--declare"), **environment | {"TRANSPORT_URL": "redis://127.0.0.1:1/0"})

        assert refused.status == 1
        assert "Redis at 127.0.0.1:1 is not available" in refused.errors

    def test_is_refused_without_a_broker(self, tmp_path):
        with Process(tmp_path / "receive.txt", manage("receive")) as program:
            assert program.wait() == 1
            assert "There is no broker: set TRANSPORT_URL." in program.output


@pytest.mark.django_db(transaction=True)
class TestWorkers:
    def test_send_events_and_receive_those_of_others(self, broker, environment, tmp_path, monkeypatch):
        monkeypatch.setattr(subscribers, "_registry", subscribers.all_subscribers())
        sending.register()
        partner = connected(broker, [TYPE])

        with Cluster(tmp_path / "cluster.txt", workers=1, environment=environment) as cluster:
            announce(added("RED-CHAIR", "1"), added("RED-CHAIR", "2"))
            assert names_by_sku(receive(partner, 2)) == {"RED-CHAIR": ["1", "2"]}

            partner.close()
            connected(broker).send([outgoing(DIED)])
            eventually(lambda: not Delivery.objects.exclude(status="delivered").exists() and alerted())
            assert cluster.stop() < 10

        assert "M2" not in violated()


class Service:
    """
    The context inventory as a service with a database of its own. Each command is a process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self.environment = {
            **environment,
            "CONTEXTS": "inventory",
            "ACCOUNTS_URL": "http://127.0.0.1:1",
            "INTROSPECTION_SECRET": 32 * "x",
            "SERVICE_NAME": "inventory",
            "DATABASE_URL": f"sqlite:///{folder / 'inventory.sqlite3'}",
            "MESSAGING_MAX_ATTEMPTS": "1",
        }
        self.manage("migrate")

    def manage(self, *arguments: str) -> str:
        finished = run(manage(*arguments), **self.environment)
        assert finished.status == 0, finished.errors
        return finished.output

    def receiver(self) -> Process:
        return Process(self._folder / "receive.txt", manage("receive"), environment=self.environment)

    def received(self) -> set[str]:
        """Return the types of the messages that it has."""
        with closing(sqlite3.connect(self._folder / "inventory.sqlite3")) as database:
            return {type_ for (type_,) in database.execute("SELECT type FROM messaging_outboxmessage")}

    def dead_letters(self) -> dict[str, tuple[str, str]]:
        """Deliver what is due, and return type and error of each dead letter by its subscriber."""
        self.manage("drain")
        letters = json.loads(self.manage("list_dead_letters", "--json"))["dead_letters"]
        return {letter["subscriber"]: (letter["type"], letter["error"]) for letter in letters}

    def trace_beside_the_shop(self, order: Order) -> dict[str, Any]:
        """Trace an order as an operator, over the databases of this service and of the shop."""
        databases = {f"{context.upper()}_DATABASE_URL": database_url() for context in CONTEXTS}
        databases["INVENTORY_DATABASE_URL"] = self.environment["DATABASE_URL"]
        finished = run(manage("trace_order", order.number, "--json"), **databases)
        assert finished.status == 0, finished.errors
        return json.loads(finished.output)


@pytest.mark.django_db(transaction=True)
class TestDeadLetters:
    """A shop publishes, and a service cannot handle one of the messages and cannot decode another."""

    @pytest.fixture
    def service(self, environment, tmp_path) -> Service:
        return Service(tmp_path, environment)

    @pytest.fixture
    def order(self, subscribe, settings, broker, monkeypatch, service) -> Iterator[Order]:
        """An order of the shop, whose confirmation the service has received although it holds no stock for it."""
        settings.TRANSPORT = TransportSettings(url=broker.url, prefix=broker.prefix, service="shop")
        monkeypatch.setattr(sending, "_sender", sending.Sender())
        sending.register()
        make_stock()
        order = place_order()
        with service.receiver() as receiver:
            receiver.wait_for("Receiving")
            announce(OrderConfirmed(order_id=str(order.pk), total=4_500, currency="GBP", email="", lines=()))
            Relay().drain()
            connected(broker).send([undecodable(order)])
            eventually(lambda: service.received() >= {OrderConfirmed.type, "undecodable"})
        yield order
        sending._sender.close()

    def test_are_listed_traced_and_replayed_in_the_service_that_received_them(self, order, service):
        not_held = f"No stock is held for ['{order.pk}']."

        assert service.dead_letters() == {
            "inventory.commit_reservation": ("orders.order_confirmed", not_held),
            "messaging.receive": ("undecodable", MISSING_FIELD),
        }
        assert deliveries_of(run_json("trace_order", order.number)) == {
            "orders.order_placed": {"messaging.transport": ("delivered", "")},
            "orders.order_confirmed": {"messaging.transport": ("delivered", "")},
        }
        of_both = deliveries_of(service.trace_beside_the_shop(order))
        assert of_both["orders.order_confirmed"] == {
            "messaging.transport": ("delivered", ""),
            "inventory.commit_reservation": ("dead", f"ReservationNotHeld: {not_held}"),
        }
        assert of_both["undecodable"] == {"messaging.receive": ("dead", f"Undecodable: {MISSING_FIELD}")}
        assert service.manage("replay_dead_letters") == "Replayed 2 dead letters.\n"
        assert service.manage("list_dead_letters") == "There are no dead letters.\n"


def deliveries_of(order_trace: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, str]]]:
    """Return status and latest error of each delivery by its subscriber, by the type of its message."""
    messages = [entry for entry in order_trace["timeline"] if entry["context"] == "messaging"]
    return {
        message["what"]: {
            delivery["subscriber"]: (delivery["status"], delivery["latest_error"]) for delivery in message["deliveries"]
        }
        for message in messages
    }


def alerted() -> bool:
    return Delivery.objects.filter(subscriber="notifications.alert_of_dead_letter").exists()
