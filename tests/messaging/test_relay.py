import threading
from concurrent.futures import wait

import pytest
from django.db import OperationalError, connection

from messaging.contracts import ProductAdded, StockDepleted, StockReplenished
from messaging.models import Delivery
from messaging.relay import Relay
from tests.messaging.concurrency import PATIENCE_SECONDS, in_thread
from tests.messaging.products import added, announce, record, recorded, statuses
from tests.outbox import counting_statements


@pytest.mark.django_db
class TestDrain:
    def test_delivers_due_events_once_as_a_batch(self, subscribe, relay):
        batches = []

        @subscribe(ProductAdded)
        def paint(events):
            batches.append(events)

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))

        assert relay.drain() == {("tests.paint", "delivered"): 2}
        assert relay.drain() == {}
        assert batches == [[added("RED-CHAIR"), added("BLUE-CHAIR")]]

    def test_keeps_the_order_of_a_key_across_event_types(self, subscribe, relay):
        delivered = []

        @subscribe(StockDepleted, StockReplenished)
        def collect(events):
            delivered.extend(events)

        published = [StockDepleted(sku="RED-CHAIR"), StockReplenished(sku="RED-CHAIR"), StockDepleted(sku="RED-CHAIR")]
        announce(*published)

        relay.drain()

        assert delivered == published

    def test_takes_a_constant_number_of_statements(self, subscribe, relay):
        subscribe(ProductAdded)(lambda events: None)
        statements = {}
        for size in (2, 200):
            announce(*[added(f"CHAIR-{number}-OF-{size}") for number in range(size)])
            with counting_statements() as counted:
                relay.drain()
            statements[size] = len(counted)

        assert statements[200] == statements[2] <= 12
        assert set(statuses().values()) == {"delivered"}


@pytest.mark.django_db
class TestOneByOne:
    def test_skips_deliveries_whose_lease_ended_meanwhile(self, subscribe, relay, clock):
        successor = Relay(clock=clock)

        @subscribe(ProductAdded, transactional=False)
        def paint(events):
            if len(events) > 1:
                raise ValueError("one by one")
            record(events)
            if recorded() == ["RED-CHAIR"]:
                clock.advance(seconds=31)
                successor.drain()

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))

        relay.drain()

        assert relay.outcomes["tests.paint", "lease_lost"] == 2
        assert set(statuses().values()) == {"delivered"}
        assert recorded().count("BLUE-CHAIR") == 1


@pytest.mark.django_db(transaction=True)
class TestRun:
    def test_reconnects_after_losing_the_database(self, subscribe, relay, clock):
        stop = threading.Event()
        losses = [lose_the_database]

        @subscribe(ProductAdded)
        def paint(events):
            record(events)
            clock.advance(seconds=31)
            if losses:
                losses.pop()()
            stop.set()

        announce(added("RED-CHAIR"))
        with in_thread(lambda: relay.run(stop)) as running:
            wait([running], PATIENCE_SECONDS)
            stop.set()

        assert recorded() == ["RED-CHAIR"]
        assert statuses() == {"RED-CHAIR": "delivered"}

    def test_claims_nothing_for_another_subscriber_after_it_was_stopped(self, subscribe, relay):
        stop = threading.Event()

        @subscribe(ProductAdded)
        def paint(events):
            stop.set()

        @subscribe(StockDepleted)
        def call_supplier(events):
            stop.set()

        announce(added("RED-CHAIR"), StockDepleted(sku="OLD-TABLE"))
        with in_thread(lambda: relay.run(stop)) as running:
            wait([running], PATIENCE_SECONDS)
            stop.set()

        assert sorted(Delivery.objects.values_list("status", "attempts")) == [("delivered", 1), ("pending", 0)]


def lose_the_database() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    raise OperationalError("disk I/O error")
