import threading
from concurrent.futures import wait

import pytest
from django.db import OperationalError, connection

from messaging.contracts import ProductAdded, StockDepleted, StockReplenished
from messaging.models import Attempt, Delivery, OutboxMessage
from messaging.outbox import publish_all
from messaging.relay import DEFERRAL_LIMIT, Relay
from messaging.subscribers import Permanent, Unavailable
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

        outcomes = relay.work_off() and relay.outcomes

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


@pytest.mark.django_db
class TestFailure:
    def test_is_retried_later_and_later_until_it_succeeds(self, subscribe, relay, clock):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            if Attempt.objects.count() < 2:
                raise ValueError("not yet")

        announce(added("RED-CHAIR"))
        waits = []
        while statuses() == {"RED-CHAIR": "pending"}:
            now = clock()
            relay.drain()
            waits.append((Delivery.objects.get().due_at - now).total_seconds())
            clock.advance(seconds=300)

        assert 0.5 <= waits[0] <= 1.5
        assert 1 <= waits[1] <= 2.5
        assert written() == ["RED-CHAIR"]
        assert relay.outcomes == {("tests.paint", "failed"): 2, ("tests.paint", "delivered"): 1}

    def test_that_goes_on_makes_a_dead_letter_with_all_its_reasons(self, subscribe, relay, clock):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            raise ValueError(f"no paint left, try {Attempt.objects.count() + 1}")

        announce(added("RED-CHAIR"))
        for _ in range(20):
            relay.drain()
            clock.advance(seconds=300)

        delivery = Delivery.objects.get()
        last = Attempt.objects.order_by("id").last()
        assert (delivery.status, delivery.attempts, delivery.error_class) == ("dead", 12, "ValueError")
        assert list(Attempt.objects.order_by("id").values_list("number", flat=True)) == list(range(1, 13))
        assert (last.error_class, last.error) == ("ValueError", "no paint left, try 12")
        assert last.traceback.endswith("ValueError: no paint left, try 12\n")
        assert "in paint" in last.traceback
        assert written() == []

    def test_that_is_permanent_makes_a_dead_letter_at_once(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            raise Permanent("this chair is glass")

        announce(added("GLASS-CHAIR"))

        assert relay.drain() == {("tests.paint", "dead"): 1}
        assert Delivery.objects.get().error_class == "Permanent"

    def test_shares_its_fingerprint_with_those_of_the_same_class_and_place(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            for event in events:
                raise {"RED-CHAIR": ValueError("red"), "BLUE-CHAIR": ValueError("blue")}.get(event.sku, KeyError())

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"), added("OLD-TABLE"))
        relay.work_off()

        red, blue, table = Delivery.objects.order_by("id").values_list("fingerprint", flat=True)
        assert red == blue != table

    @pytest.mark.parametrize("error", ["\x00", "\ud800", "x" * 1_000_000])
    def test_is_recorded_whatever_its_text(self, subscribe, relay, error):
        @subscribe(ProductAdded)
        def paint(events):
            raise Permanent(error)

        announce(added("RED-CHAIR"))

        assert relay.drain() == {("tests.paint", "dead"): 1}
        assert len(Attempt.objects.get().traceback) <= 8_000


@pytest.mark.django_db
class TestUnavailable:
    def test_defers_without_using_up_attempts(self, subscribe, relay, clock):
        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            raise Unavailable("the line is dead")

        announce(added("RED-CHAIR"))
        for _ in range(50):
            relay.drain()
            clock.advance(seconds=300)

        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.attempts, delivery.deferrals) == ("pending", 0, 50)
        assert delivery.due_at <= clock()

    def test_is_not_believed_for_ever(self, subscribe, relay):
        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            raise Unavailable("the line is dead")

        announce(added("RED-CHAIR"))
        Delivery.objects.update(deferrals=DEFERRAL_LIMIT)

        assert relay.drain() == {("tests.call_painter", "dead"): 1}
        assert Delivery.objects.get().error_class == "Unavailable"

    def test_does_not_hide_that_others_of_the_set_succeeded(self, subscribe, relay):
        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            if "FAR-CHAIR" in [event.sku for event in events]:
                raise Unavailable("too far")

        announce(added("RED-CHAIR"), added("FAR-CHAIR"))
        relay.work_off()

        assert statuses() == {"RED-CHAIR": "delivered", "FAR-CHAIR": "pending"}


@pytest.mark.django_db
class TestReplay:
    @pytest.fixture
    def mended(self, subscribe, relay, clock) -> list[bool]:
        mended: list[bool] = []

        @subscribe(ProductAdded)
        def paint(events):
            if not mended:
                raise Permanent("no paint left")
            write_down(events)

        announce(added("RED-CHAIR", "first"), added("RED-CHAIR", "second"), added("BLUE-CHAIR"))
        relay.drain()
        return mended

    def test_keeps_the_order_of_a_key_and_doubles_nothing(self, relay, clock, mended):
        mended.append(True)

        assert Delivery.objects.replay(clock()) == 3
        assert Delivery.objects.replay(clock()) == 0
        relay.drain()

        assert sorted(written()) == ["BLUE-CHAIR", "RED-CHAIR first", "RED-CHAIR second"]
        assert written().index("RED-CHAIR first") < written().index("RED-CHAIR second")
        assert relay.drain() == {}

    def test_gives_fresh_attempts(self, clock, mended):
        Delivery.objects.replay(clock())

        assert set(Delivery.objects.values_list("status", "attempts", "deferrals", "claim_token")) == {
            ("pending", 0, 0, None)
        }

    def test_goes_before_what_was_announced_since(self, relay, clock, mended):
        announce(added("BLUE-CHAIR", "since"))
        mended.append(True)

        Delivery.objects.replay(clock())
        relay.drain()

        assert written().index("BLUE-CHAIR") < written().index("BLUE-CHAIR since")

    def test_leaves_what_a_person_discarded(self, relay, clock, mended):
        Delivery.objects.filter(key="BLUE-CHAIR").discard()

        assert Delivery.objects.replay(clock()) == 2


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
