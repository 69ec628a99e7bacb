import pytest

from messaging.backoff import MAX_DEFERRALS
from messaging.contracts import ProductAdded
from messaging.models import Attempt, Delivery
from messaging.subscribers import NotReady, OutageObserved, PartlyUnavailable, Permanent, Unavailable
from tests.messaging.scenes import added, announce, statuses, write_down, written

CHAIRS = [f"CHAIR-{number}" for number in range(70)]


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
        Delivery.objects.update(deferrals=MAX_DEFERRALS)

        assert relay.drain() == {("tests.call_painter", "dead"): 1}
        assert Delivery.objects.get().error_class == "Unavailable"

    def test_defers_the_whole_batch_without_another_call(self, subscribe, relay):
        calls = []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append(len(events))
            raise Unavailable("the line is dead")

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))

        assert relay.drain() == {("tests.call_painter", "deferred"): 2}
        assert calls == [2]

    def test_in_a_transaction_defers_only_the_deliveries_that_raise_it_alone(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            if "BLUE-CHAIR" in [event.sku for event in events]:
                raise Unavailable("no blue today")

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        relay.drain()

        assert statuses() == {"RED-CHAIR": "delivered", "BLUE-CHAIR": "pending"}
        assert written() == ["RED-CHAIR"]


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


@pytest.mark.django_db
class TestExit:
    def test_of_a_handler_is_a_failure_like_any_other(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            raise SystemExit("closing time")

        announce(added("RED-CHAIR"))

        assert relay.drain() == {("tests.paint", "failed"): 1}
        assert Delivery.objects.get().error_class == "SystemExit"


@pytest.mark.django_db
class TestDeferralByKey:
    @pytest.mark.parametrize("case", [PartlyUnavailable, NotReady])
    def test_defers_its_keys_and_records_the_rest_as_delivered_without_another_call(self, subscribe, relay, case):
        calls = []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append([event.sku for event in events])
            write_down([event for event in events if event.sku == "RED-CHAIR"])
            raise case("The painter is out.", keys=["BLUE-CHAIR", "OAK-TABLE"])

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"), added("OAK-TABLE"))
        outcomes = relay.drain()

        assert calls == [["RED-CHAIR", "BLUE-CHAIR", "OAK-TABLE"]]
        assert statuses() == {"RED-CHAIR": "delivered", "BLUE-CHAIR": "pending", "OAK-TABLE": "pending"}
        assert outcomes == {("tests.call_painter", "delivered"): 1, ("tests.call_painter", "deferred"): 2}
        assert written() == ["RED-CHAIR"]

    def test_in_a_transaction_has_its_batch_delivered_one_by_one(self, subscribe, relay):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            if "BLUE-CHAIR" in [event.sku for event in events]:
                raise PartlyUnavailable("No blue today.", keys=["BLUE-CHAIR"])

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        relay.drain()

        assert statuses() == {"RED-CHAIR": "delivered", "BLUE-CHAIR": "pending"}
        assert written() == ["RED-CHAIR"]

    def test_comes_in_batches_no_larger_than_the_calls_made_at_once(self, subscribe, relay, messaging_settings):
        messaging_settings(outside_calls_at_once=2)
        sizes = []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            sizes.append(len(events))

        announce(*(added(f"CHAIR-{number}") for number in range(5)))
        relay.drain()

        assert sizes == [2, 2, 1]


@pytest.mark.django_db
class TestPause:
    def test_is_made_for_a_subscriber_whose_other_side_is_down_and_one_delivery_sees_whether_it_is_back(
        self, subscribe, relay, clock
    ):
        calls, down = [], [True]

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append(len(events))
            if down[0]:
                raise Unavailable("The line is dead.")

        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)

        announce(*(added(f"CHAIR-{number}") for number in range(70)))
        for _ in range(3):
            relay.drain()
            clock.advance(seconds=8)
        down[0] = False
        relay.drain()

        assert calls == [64, 1, 1, 1, 64, 5]
        assert len(written()) == 70
        assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}

    def test_lasts_longer_the_longer_an_outage_lasts_but_no_longer_than_half_a_minute(self, subscribe, relay, clock):
        began, calls = clock(), []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append((clock() - began).seconds)
            raise PartlyUnavailable("The line is dead.", keys=[event.sku for event in events])

        announce(*(added(f"CHAIR-{number}") for number in range(200)))
        for _ in range(120):
            relay.deliver_due()
            clock.advance(seconds=1)

        assert calls == [0, 1, 3, 7, 15, 31, 61, 91]

    def test_lasts_five_times_as_long_as_it_took_to_find_out(self, subscribe, relay, clock, monkeypatch):
        seconds, calls = [0.0], []
        monkeypatch.setattr("messaging.relay.time.monotonic", lambda: seconds[0])

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append(len(events))
            seconds[0] += 10
            raise OutageObserved("The line is busy.")

        announce(*(added(f"CHAIR-{number}") for number in range(70)))
        relay.drain()
        clock.advance(seconds=49)
        relay.drain()
        clock.advance(seconds=2)
        relay.drain()

        assert calls == [64, 1]

    @pytest.mark.parametrize(
        ("case", "names", "seconds_a_call"),
        [
            (NotReady, set(CHAIRS), 2),
            (PartlyUnavailable, {"CHAIR-6", "CHAIR-7"}, 2),
            (PartlyUnavailable, set(CHAIRS[:40]), 0),
            (OutageObserved, None, 0),
        ],
        ids=["not ready", "few keys, slowly", "most keys, quickly", "outage observed quickly"],
    )
    def test_is_not_made_for_less_than_an_outage(self, subscribe, relay, monkeypatch, *, case, names, seconds_a_call):
        seconds, calls = [0.0], []
        monkeypatch.setattr("messaging.relay.time.monotonic", lambda: seconds[0])

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append(len(events))
            seconds[0] += seconds_a_call
            keys = {} if names is None else {"keys": [event.sku for event in events if event.sku in names]}
            raise case("Not now.", **keys)

        announce(*map(added, CHAIRS))
        relay.drain()

        assert calls == [64, 6]
