import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import pytest
from django.db import OperationalError, connection, connections, transaction

from messaging import lanes, relay, wakeup
from messaging.contracts import ProductAdded, StockDepleted
from messaging.lanes import GATHER_SECONDS, LANE_THREADS, Lanes
from messaging.models import Attempt, Delivery
from tests.messaging.concurrency import PATIENCE_SECONDS, in_thread
from tests.messaging.products import added, announce, record, recorded, statuses
from tests.threads import workers
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

LONG_POLL_SECONDS = 4
"""Far longer than a worker waits for room in a lane, and far shorter than it has to end."""


class HangingPainter:
    """A service that answers no call before it is released."""

    def __init__(self, released: threading.Event) -> None:
        self.released = released
        self.calls: list[list[str]] = []
        self.threads: list[threading.Thread] = []

    def call(self, events: Sequence[ProductAdded]) -> None:
        self.threads.append(threading.current_thread())
        self.calls.append([event.sku for event in events])
        self.released.wait(PATIENCE_SECONDS)


@pytest.fixture
def released() -> threading.Event:
    return threading.Event()


@pytest.fixture
def painter(subscribe, released) -> HangingPainter:
    painter = HangingPainter(released)

    @subscribe(ProductAdded, transactional=False)
    def call_painter(events):
        painter.call(events)

    return painter


@pytest.fixture
def running(relay, released) -> Callable[[], AbstractContextManager[None]]:
    """Run the relay during the block, and release the painter at its end."""

    @contextmanager
    def run() -> Iterator[None]:
        stop = threading.Event()
        with in_thread(lambda: relay.run(stop)) as running:
            try:
                yield
            finally:
                stop.set()
                released.set()
                running.result(PATIENCE_SECONDS)

    return run


class TestSlowService:
    def test_delays_no_other_subscriber(self, subscribe, paint, painter, running):
        @subscribe(StockDepleted, transactional=False)
        def call_supplier(events):
            record([added(event.sku, "ordered") for event in events])

        with running():
            announce(added("RED-CHAIR"))
            eventually(lambda: painter.calls)
            announce(added("BLUE-CHAIR"), StockDepleted(sku="OAK-TABLE"))

            eventually(lambda: len(recorded()) == 3)
            eventually(lambda: len(painter.calls) == 2)
            assert not Delivery.objects.filter(subscriber="tests.call_painter", status="delivered").exists()

        assert sorted(recorded()) == ["BLUE-CHAIR", "OAK-TABLE ordered", "RED-CHAIR"]
        assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}

    def test_is_called_for_what_is_published_meanwhile(self, painter, running):
        skus = [f"CHAIR-{number}" for number in range(LANE_THREADS)]

        with running():
            for number, sku in enumerate(skus, start=1):
                announce(added(sku))
                eventually(lambda number=number: len(painter.calls) == number)

        assert painter.calls == [[sku] for sku in skus]
        assert len(set(painter.threads)) == LANE_THREADS

    def test_is_called_no_more_often_at_once_than_permitted(self, painter, running, messaging_settings):
        messaging_settings(outside_calls_at_once=8)
        announce(*(added(f"CHAIR-{number}") for number in range(20)))

        with running():
            eventually(lambda: sum(map(len, painter.calls)) == 8)
            time.sleep(4 * GATHER_SECONDS)
            assert list(map(len, painter.calls)) == [4, 4]
            painter.released.set()
            eventually(lambda: set(statuses().values()) == {"delivered"})

    def test_is_called_again_as_soon_as_its_lane_has_room(self, painter, running, messaging_settings, monkeypatch):
        monkeypatch.setattr(wakeup, "POLL_SECONDS", LONG_POLL_SECONDS)
        messaging_settings(outside_calls_at_once=1)
        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))

        with running():
            eventually(lambda: painter.calls == [["RED-CHAIR"]])
            time.sleep(4 * GATHER_SECONDS)
            painter.released.set()
            seconds = eventually(lambda: painter.calls == [["RED-CHAIR"], ["BLUE-CHAIR"]])

        assert seconds < LONG_POLL_SECONDS / 2

    def test_makes_its_worker_look_for_room_at_intervals(self, painter, running, messaging_settings, monkeypatch):
        looks, subscribers_with_work = [], relay.subscribers_with_work
        monkeypatch.setattr(relay, "subscribers_with_work", lambda now: looks.append(now) or subscribers_with_work(now))
        messaging_settings(outside_calls_at_once=1)
        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))

        with running():
            eventually(lambda: painter.calls)
            looks.clear()
            time.sleep(20 * GATHER_SECONDS)
            assert 1 <= len(looks) <= 22


class TestOrderOfAKey:
    def test_is_kept_by_all_threads_of_two_workers(self, subscribe, monkeypatch, messaging_settings):
        monkeypatch.setattr(lanes, "GATHER_SECONDS", 0)
        messaging_settings(outside_calls_at_once=4)
        threads = set()

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            threads.add(threading.current_thread())
            with transaction.atomic():
                record(events)

        skus = [f"CHAIR-{number}" for number in range(6)]
        with workers(2):
            for turn in range(10):
                announce(*(added(sku, f"{turn:02}") for sku in skus))

        for sku in skus:
            assert [text for text in recorded() if text.startswith(sku)] == [f"{sku} {turn:02}" for turn in range(10)]
        assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}
        assert not Attempt.objects.exists()
        assert len(threads) > 2


class TestIdleThread:
    @pytest.fixture
    def opened(self, subscribe) -> list[tuple[threading.Thread, object]]:
        """The threads in which the painter is called, each with its connection."""
        opened = []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            with transaction.atomic():
                record(events)
            opened.append((threading.current_thread(), connections["default"]))

        return opened

    def test_serves_the_next_batch(self, opened, running):
        with running():
            for number in range(3):
                announce(added(f"CHAIR-{number}"))
                eventually(lambda number=number: len(recorded()) > number)
                eventually(lambda number=number: len(opened) > number)

        assert len({thread for thread, _ in opened}) == 1

    def test_ends_and_closes_its_connection(self, opened, running, monkeypatch):
        monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.05)

        with running():
            announce(added("RED-CHAIR"))
            eventually(lambda: opened)
            thread, its_connection = opened[0]
            eventually(lambda: not thread.is_alive())

        assert its_connection.connection is None

    def test_loses_no_batch_when_it_ends(self, opened, running, monkeypatch):
        monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.001)
        skus = [f"CHAIR-{number}" for number in range(60)]

        with running():
            for sku in skus:
                announce(added(sku))
            eventually(lambda: len(recorded()) == len(skus))

        assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}


class TestStop:
    def test_finishes_the_batches_in_flight_and_claims_no_other(self, painter, relay, messaging_settings):
        messaging_settings(outside_calls_at_once=2)
        announce(*(added(f"CHAIR-{number}") for number in range(5)))
        stop = threading.Event()

        with in_thread(lambda: relay.run(stop)) as running:
            eventually(lambda: len(painter.calls) == 2)
            stop.set()
            time.sleep(4 * GATHER_SECONDS)
            assert not running.done()
            painter.released.set()
            running.result(PATIENCE_SECONDS)

        assert len(painter.calls) == 2
        assert sorted(Delivery.objects.values_list("status", "attempts")) == [
            ("delivered", 1),
            ("delivered", 1),
            *[("pending", 0)] * 3,
        ]
        assert [thread for thread in painter.threads if thread.is_alive()] == []


class TestFailure:
    def test_of_a_database_connection_leaves_the_batch_to_its_lease(self, subscribe, running, clock):
        losses = [True]

        @subscribe(StockDepleted, transactional=False)
        def call_supplier(events):
            record([added(event.sku, "ordered") for event in events])
            if losses:
                losses.pop()
                clock.advance(seconds=31)
                lose_the_connection()

        with running():
            announce(StockDepleted(sku="OAK-TABLE"))
            eventually(lambda: set(statuses().values()) == {"delivered"})

        assert recorded() == ["OAK-TABLE ordered"] * 2
        assert list(Delivery.objects.values_list("attempts", flat=True)) == [2]

    def test_of_one_call_delays_none_of_the_others(self, subscribe, running):
        @subscribe(StockDepleted, transactional=False)
        def call_supplier(events):
            if len(events) > 1 or events[0].sku == "BAD-TABLE":
                raise ValueError("bad table")
            record([added(event.sku, "ordered") for event in events])

        announce(*(StockDepleted(sku=sku) for sku in ("OAK-TABLE", "BAD-TABLE", "ELM-TABLE")))
        with running():
            eventually(lambda: len(recorded()) == 2)
            eventually(Attempt.objects.exists)

        assert statuses() == {"OAK-TABLE": "delivered", "BAD-TABLE": "pending", "ELM-TABLE": "delivered"}


class TestReactingSince:
    def test_is_the_start_of_the_reaction_that_runs_longest(self, painter, relay, running):
        assert relay.reacting_since is None

        with running():
            announce(added("RED-CHAIR"))
            eventually(lambda: painter.calls)
            first, later = relay.reacting_since, time.monotonic()
            announce(added("BLUE-CHAIR"))
            eventually(lambda: len(painter.calls) == 2)

            assert relay.reacting_since == first < later

        assert relay.reacting_since is None


class TestSharedThreads:
    def test_are_left_to_lanes_without_a_batch_when_many_are_in_use(self, subscribe, relay, painter, monkeypatch):
        monkeypatch.setattr(lanes, "SHARED_THREADS", 3)

        @subscribe(StockDepleted, transactional=False)
        def call_supplier(events):
            painter.call(events)

        with Lanes(relay.deliver) as its_lanes:
            for number in range(5):
                announce(added(f"CHAIR-{number}"))
                time.sleep(GATHER_SECONDS)
                relay.deliver_due(its_lanes)
            announce(StockDepleted(sku="OAK-TABLE"))
            relay.deliver_due(its_lanes)
            painter.released.set()

        assert sorted(painter.calls) == [["CHAIR-0"], ["CHAIR-1"], ["CHAIR-2"], ["OAK-TABLE"]]


def lose_the_connection() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    raise OperationalError("disk I/O error")
