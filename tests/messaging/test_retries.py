import pytest

from messaging.contracts import ProductAdded
from messaging.models import Attempt, Delivery
from messaging.subscribers import Permanent
from tests.messaging.products import added, announce, record, recorded, statuses


@pytest.mark.django_db
class TestFailure:
    def test_is_retried_with_growing_delays_until_it_succeeds(self, subscribe, relay, clock):
        @subscribe(ProductAdded)
        def paint(events):
            record(events)
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
        assert recorded() == ["RED-CHAIR"]
        assert relay.outcomes == {("tests.paint", "failed"): 2, ("tests.paint", "delivered"): 1}

    def test_becomes_a_dead_letter_with_its_errors_after_all_attempts(self, subscribe, relay, clock):
        @subscribe(ProductAdded)
        def paint(events):
            record(events)
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
        assert recorded() == []

    def test_shares_its_fingerprint_with_errors_of_the_same_class_and_function(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            for event in events:
                raise {"RED-CHAIR": ValueError("red"), "BLUE-CHAIR": ValueError("blue")}.get(event.sku, KeyError())

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"), added("OLD-TABLE"))
        relay.deliver_due()

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

    def test_by_system_exit_is_recorded(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            raise SystemExit("exit")

        announce(added("RED-CHAIR"))

        assert relay.drain() == {("tests.paint", "failed"): 1}
        assert Delivery.objects.get().error_class == "SystemExit"


@pytest.mark.django_db
class TestReplay:
    @pytest.fixture
    def fixed(self, subscribe, relay, clock) -> list[bool]:
        fixed: list[bool] = []

        @subscribe(ProductAdded)
        def paint(events):
            if not fixed:
                raise Permanent("no paint left")
            record(events)

        announce(added("RED-CHAIR", "first"), added("RED-CHAIR", "second"), added("BLUE-CHAIR"))
        relay.drain()
        return fixed

    def test_keeps_the_order_of_a_key_and_repeats_no_effect(self, relay, clock, fixed):
        fixed.append(True)

        assert Delivery.objects.replay(clock()) == 3
        assert Delivery.objects.replay(clock()) == 0
        relay.drain()

        assert sorted(recorded()) == ["BLUE-CHAIR", "RED-CHAIR first", "RED-CHAIR second"]
        assert recorded().index("RED-CHAIR first") < recorded().index("RED-CHAIR second")
        assert relay.drain() == {}

    def test_delivers_before_events_published_since(self, relay, clock, fixed):
        announce(added("BLUE-CHAIR", "since"))
        fixed.append(True)

        Delivery.objects.replay(clock())
        relay.drain()

        assert recorded().index("BLUE-CHAIR") < recorded().index("BLUE-CHAIR since")
