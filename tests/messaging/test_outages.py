from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from messaging.backoff import MAX_DEFERRALS
from messaging.contracts import ProductAdded
from messaging.models import Delivery
from messaging.outages import Outages
from messaging.subscribers import (
    NotReady,
    OutageObserved,
    PartlyUnavailable,
    Subscriber,
    Unavailable,
    all_subscribers,
)
from tests.messaging.products import StoppedClock, added, announce, record, recorded, statuses

pytestmark = pytest.mark.django_db

CHAIRS = [f"CHAIR-{number}" for number in range(70)]


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def batches(subscribe) -> Callable[..., list[list[str]]]:
    """
    Subscribe a caller of an external service that ends by what `error_of` returns, and return the batches that it gets.
    """

    def subscribe_caller(error_of: Callable[[list[str]], Exception | None] = lambda skus: None) -> list[list[str]]:
        batches: list[list[str]] = []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            batches.append([event.sku for event in events])
            if error := error_of(batches[-1]):
                raise error

        return batches

    return subscribe_caller


@pytest.fixture
def calls_take(monkeypatch) -> Callable[[float], None]:
    """Let so many seconds pass, for the relay's measure of a call."""
    seconds = [0.0]
    monkeypatch.setattr("messaging.relay.time.monotonic", lambda: seconds[0])

    def let_pass(number: float) -> None:
        seconds[0] += number

    return let_pass


class TestUnavailable:
    def test_defers_without_using_up_attempts(self, batches, relay, clock):
        batches(lambda skus: Unavailable("Connection refused."))
        announce(added("RED-CHAIR"))

        for _ in range(50):
            relay.drain()
            clock.advance(seconds=300)

        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.attempts, delivery.deferrals) == ("pending", 0, 50)
        assert delivery.due_at <= clock()

    def test_makes_a_dead_letter_after_the_maximum_of_deferrals(self, batches, relay):
        batches(lambda skus: Unavailable("Connection refused."))
        announce(added("RED-CHAIR"))
        Delivery.objects.update(deferrals=MAX_DEFERRALS)

        assert relay.drain() == {("tests.call_painter", "dead"): 1}
        assert Delivery.objects.get().error_class == "Unavailable"


class TestDeferralByKey:
    @pytest.mark.parametrize("case", [PartlyUnavailable, NotReady])
    def test_defers_its_keys_and_marks_the_rest_delivered_without_another_call(self, batches, relay, case):
        calls = batches(lambda skus: case("No answer.", keys=["BLUE-CHAIR", "OAK-TABLE"]))
        announce(added("RED-CHAIR"), added("BLUE-CHAIR"), added("OAK-TABLE"))

        outcomes = relay.drain()

        assert calls == [["RED-CHAIR", "BLUE-CHAIR", "OAK-TABLE"]]
        assert statuses() == {"RED-CHAIR": "delivered", "BLUE-CHAIR": "pending", "OAK-TABLE": "pending"}
        assert outcomes == {("tests.call_painter", "delivered"): 1, ("tests.call_painter", "deferred"): 2}


class TestTransactionalSubscriber:
    @pytest.mark.parametrize("error", [Unavailable("No blue."), PartlyUnavailable("No blue.", keys=["BLUE-CHAIR"])])
    def test_defers_only_the_deliveries_that_fail_alone(self, subscribe, relay, error):
        @subscribe(ProductAdded)
        def paint(events):
            record(events)
            if added("BLUE-CHAIR") in events:
                raise error

        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        relay.drain()

        assert statuses() == {"RED-CHAIR": "delivered", "BLUE-CHAIR": "pending"}
        assert recorded() == ["RED-CHAIR"]


class TestPause:
    def test_concerns_one_subscriber_only(self, subscribe, batches, relay, clock):
        @subscribe(ProductAdded, transactional=False)
        def call_printer(events):
            record(events)

        calls = batches(lambda skus: Unavailable("Connection refused."))
        for sku in ("RED-CHAIR", "BLUE-CHAIR"):
            announce(added(sku))
            relay.drain()

        assert calls == [["RED-CHAIR"]]
        assert recorded() == ["RED-CHAIR", "BLUE-CHAIR"]

    def test_ends_when_one_delivery_finds_the_other_side_up(self, subscribe, paint, batches, relay, clock):
        down = [True]
        calls = batches(lambda skus: Unavailable("Connection refused.") if down else None)
        announce(*map(added, CHAIRS))

        for _ in range(3):
            relay.drain()
            clock.advance(seconds=8)
        down.clear()
        relay.drain()

        assert list(map(len, calls)) == [64, 1, 1, 1, 64, 5]
        assert len(recorded()) == 70
        assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}

    def test_grows_with_the_outage_up_to_half_a_minute(self, batches, relay, clock):
        start, moments = clock(), []

        def fail(skus: list[str]) -> Exception:
            moments.append((clock() - start).seconds)
            return PartlyUnavailable("Connection refused.", keys=skus)

        batches(fail)
        announce(*(added(f"CHAIR-{number}") for number in range(200)))
        for _ in range(120):
            relay.deliver_due()
            clock.advance(seconds=1)

        assert moments == [0, 1, 3, 7, 15, 31, 61, 91]

    def test_lasts_five_times_as_long_as_a_slow_detection(self, batches, relay, clock, calls_take):
        calls = batches(lambda skus: calls_take(10) or OutageObserved("Timed out."))
        announce(*map(added, CHAIRS))

        relay.drain()
        clock.advance(seconds=49)
        relay.drain()
        clock.advance(seconds=2)
        relay.drain()

        assert list(map(len, calls)) == [64, 1]

    @pytest.mark.parametrize(
        ("error_of", "seconds"),
        [
            (lambda skus: NotReady("No result yet.", keys=skus), 2),
            (lambda skus: PartlyUnavailable("No answer.", keys={"CHAIR-6", "CHAIR-7"} & {*skus}), 2),
            (lambda skus: PartlyUnavailable("No answer.", keys={*CHAIRS[:40]} & {*skus}), 0),
            (lambda skus: OutageObserved("Timed out."), 0),
        ],
        ids=["not ready", "few keys, slowly", "most keys, quickly", "outage observed quickly"],
    )
    def test_is_not_made_for_less_than_an_outage(self, batches, relay, calls_take, error_of, seconds):
        calls = batches(lambda skus: calls_take(seconds) or error_of(skus))
        announce(*map(added, CHAIRS))

        relay.drain()

        assert list(map(len, calls)) == [64, 6]


class TestOutages:
    """Several threads of a worker share its pauses."""

    @pytest.fixture
    def painter(self, batches) -> Subscriber:
        batches()
        return all_subscribers()["tests.call_painter"]

    @pytest.fixture
    def outages(self, painter, clock) -> Outages:
        """The painter is paused for a second."""
        outages = Outages()
        outages.note(painter, Unavailable("Connection refused."), size=1, took=timedelta(), now=clock())
        return outages

    @pytest.mark.parametrize("error", [None, Unavailable("Connection refused.")])
    def test_ignore_the_result_of_a_batch_that_began_before_the_pause(self, outages, painter, clock, error):
        clock.advance(seconds=0.9)
        outages.note(painter, error, size=1, took=timedelta(seconds=2), now=clock())

        assert outages.most_to_claim(painter, 64, now=clock()) == 0
        clock.advance(seconds=0.2)
        assert outages.most_to_claim(painter, 64, now=clock()) == 1

    def test_permit_one_probe_at_a_time(self, outages, painter, clock):
        clock.advance(seconds=1)
        assert outages.most_to_claim(painter, 64, now=clock()) == 1
        outages.note_claim(painter, until=clock() + timedelta(seconds=30))

        clock.advance(seconds=5)
        assert outages.most_to_claim(painter, 64, now=clock()) == 0
        outages.note(painter, None, size=1, took=timedelta(seconds=5), now=clock())
        assert outages.most_to_claim(painter, 64, now=clock()) == 64

    @pytest.mark.parametrize(("in_one_call", "seconds"), [(True, 1), (False, 45)])
    def test_last_longer_after_a_call_that_hung_unless_it_took_the_whole_batch(
        self, painter, clock, in_one_call, seconds
    ):
        outages, caller = Outages(), replace(painter, in_one_call=in_one_call)
        outages.note(caller, Unavailable("Timeout."), size=1, took=timedelta(seconds=9), now=clock())

        clock.advance(seconds=seconds - 0.1)
        assert outages.most_to_claim(caller, 64, now=clock()) == 0
        clock.advance(seconds=0.1)
        assert outages.most_to_claim(caller, 64, now=clock()) == 1

    def test_permit_another_probe_when_the_lease_of_one_without_a_result_is_over(self, outages, painter, clock):
        clock.advance(seconds=1)
        outages.note_claim(painter, until=clock() + timedelta(seconds=30))

        clock.advance(seconds=29)
        assert outages.most_to_claim(painter, 64, now=clock()) == 0
        clock.advance(seconds=1)
        assert outages.most_to_claim(painter, 64, now=clock()) == 1
