import threading
from concurrent.futures import wait

import pytest
from django.db import OperationalError, connection

from messaging.contracts import ProductAdded, StockDepleted, StockReplenished
from messaging.models import OutboxMessage
from messaging.outbox import publish_all
from messaging.relay import Relay
from tests.messaging.scenes import PATIENCE_SECONDS, added, announce, beside, statuses, write_down, written
from tests.outbox import counting_statements


@pytest.mark.django_db
class TestDrain:
    def test_hands_over_what_is_due_as_a_set(self, subscribe, relay):
        sets = []

        @subscribe(ProductAdded)
        def paint(events):
            sets.append(events)

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))

        outcomes = relay.drain()

        assert sets == [[added("RED-CHAIR"), added("BLUE-CHAIR")]]
        assert outcomes == {("tests.paint", "delivered"): 2}

    def test_hands_each_event_over_once(self, subscribe, relay):
        subscribe(ProductAdded)(write_down)
        announce(added("RED-CHAIR"))

        relay.drain()

        assert relay.drain() == {}
        assert written() == ["RED-CHAIR"]

    def test_follows_what_subscribers_publish_to_its_end(self, subscribe, relay):
        @subscribe(ProductAdded)
        def deplete(events):
            publish_all([StockDepleted(sku=event.sku) for event in events])

        @subscribe(StockDepleted)
        def replenish(events):
            publish_all([StockReplenished(sku=event.sku) for event in events])

        announce(added("RED-CHAIR"))

        assert relay.drain() == {("tests.deplete", "delivered"): 1, ("tests.replenish", "delivered"): 1}
        assert OutboxMessage.objects.count() == 3

    def test_hands_events_of_several_types_over_in_the_order_of_their_key(self, subscribe, relay):
        heard = []

        @subscribe(StockDepleted, StockReplenished)
        def listen(events):
            heard.extend(events)

        story = [StockDepleted(sku="RED-CHAIR"), StockReplenished(sku="RED-CHAIR"), StockDepleted(sku="RED-CHAIR")]
        announce(*story)

        relay.drain()

        assert heard == story

    def test_costs_a_set_of_200_no_more_statements_than_one_of_2(self, subscribe, relay):
        subscribe(ProductAdded)(lambda events: None)
        statements = {}
        for size in (2, 200):
            announce(*[added(f"CHAIR-{number}-OF-{size}") for number in range(size)])
            with counting_statements() as counted:
                relay.drain()
            statements[size] = len(counted)

        assert statements[200] == statements[2] <= 12
        assert set(statuses().values()) == {"delivered"}

    def test_gives_up_in_time(self, subscribe, relay):
        @subscribe(ProductAdded)
        def add_another(events):
            publish_all([added(event.sku + "I") for event in events])

        announce(added("CHAIR-"))

        with pytest.raises(TimeoutError, match=r"Still not drained after 0.05 s\."):
            relay.drain(timeout=0.05)


@pytest.mark.django_db
class TestOneByOne:
    def test_lets_only_the_poison_fail(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            if "CURSED-CHAIR" in [event.sku for event in events]:
                raise ValueError("cannot paint this one")

        announce(added("RED-CHAIR"), added("CURSED-CHAIR"), added("BLUE-CHAIR"))

        outcomes = relay.deliver_due() and relay.outcomes

        assert outcomes == {("tests.paint", "delivered"): 2, ("tests.paint", "failed"): 1}
        assert written() == ["RED-CHAIR", "BLUE-CHAIR"]
        assert statuses() == {"RED-CHAIR": "delivered", "CURSED-CHAIR": "pending", "BLUE-CHAIR": "delivered"}

    def test_leaves_to_its_heir_what_it_came_to_too_late(self, subscribe, relay, clock):
        heir = Relay(clock=clock)

        @subscribe(ProductAdded, transactional=False)
        def paint(events):
            if len(events) > 1:
                raise ValueError("one by one, please")
            write_down(events)
            if written() == ["RED-CHAIR"]:
                clock.advance(seconds=31)
                heir.drain()

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))

        relay.drain()

        assert relay.outcomes["tests.paint", "lease_lost"] == 2
        assert set(statuses().values()) == {"delivered"}
        assert written().count("BLUE-CHAIR") == 1


@pytest.mark.django_db(transaction=True)
class TestRun:
    def test_delivers_until_told_to_stop(self, subscribe, relay):
        stop = threading.Event()

        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            if added("LAST-CHAIR") in events:
                stop.set()

        with beside(lambda: relay.run(stop)) as running:
            announce(added("RED-CHAIR"))
            announce(added("LAST-CHAIR"))
            wait([running], PATIENCE_SECONDS)
            stop.set()

        assert sorted(written()) == ["LAST-CHAIR", "RED-CHAIR"]

    def test_outlives_the_loss_of_its_database(self, subscribe, relay, clock):
        stop = threading.Event()
        losses = [lose_the_database]

        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            clock.advance(seconds=31)
            if losses:
                losses.pop()()
            stop.set()

        announce(added("RED-CHAIR"))
        with beside(lambda: relay.run(stop)) as running:
            wait([running], PATIENCE_SECONDS)
            stop.set()

        assert written() == ["RED-CHAIR"]
        assert statuses() == {"RED-CHAIR": "delivered"}


def lose_the_database() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    raise OperationalError("disk I/O error")
