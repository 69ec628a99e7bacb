import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from messaging import relay as relay_module
from messaging import wakeup
from messaging.relay import Relay
from messaging.wakeup import open_waiter
from tests.messaging.concurrency import PATIENCE_SECONDS, in_thread
from tests.messaging.products import added, announce, recorded
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def seconds_of(wait, *arguments) -> float:
    start = time.monotonic()
    wait(*arguments)
    return time.monotonic() - start


@pytest.fixture
def poll_every(monkeypatch) -> Callable[[float], None]:
    return lambda seconds: monkeypatch.setattr(wakeup, "POLL_SECONDS", seconds)


class TestWaiter:
    def test_wakes_a_waiting_worker(self, paint):
        subscribed = threading.Event()

        def idle() -> float:
            with open_waiter() as waiter, waiter.subscribed():
                subscribed.set()
                return seconds_of(waiter.wait, threading.Event(), PATIENCE_SECONDS)

        with in_thread(idle) as worker:
            subscribed.wait(PATIENCE_SECONDS)
            announce(added("RED-CHAIR"))

        assert worker.result() < PATIENCE_SECONDS / 2

    def test_wakes_for_what_was_published_before_the_wait_began(self, paint):
        with open_waiter() as waiter, waiter.subscribed():
            announce(added("RED-CHAIR"))

            assert seconds_of(waiter.wait, threading.Event(), PATIENCE_SECONDS) < PATIENCE_SECONDS / 2

    def test_wakes_once_for_each_publication(self, paint):
        with open_waiter() as waiter, waiter.subscribed():
            announce(added("RED-CHAIR"))
            waiter.wait(threading.Event(), PATIENCE_SECONDS)

            assert seconds_of(waiter.wait, threading.Event(), 0.1) >= 0.1
            announce(added("BLUE-CHAIR"))
            assert seconds_of(waiter.wait, threading.Event(), PATIENCE_SECONDS) < PATIENCE_SECONDS / 2

    def test_ignores_what_was_published_before_it_subscribed(self, paint):
        with open_waiter() as waiter:
            announce(added("RED-CHAIR"))
            with waiter.subscribed():
                assert seconds_of(waiter.wait, threading.Event(), 0.1) >= 0.1

    def test_returns_at_once_if_stopped(self):
        stop = threading.Event()
        stop.set()

        with open_waiter() as waiter, waiter.subscribed():
            assert seconds_of(waiter.wait, stop, PATIENCE_SECONDS) < PATIENCE_SECONDS / 2


class TestIdleRelay:
    def test_delivers_delayed_messages_by_its_poll(self, paint, relay, clock, poll_every):
        poll_every(0.05)
        announce(added("RED-CHAIR"), at=clock() + timedelta(hours=1))
        stop = threading.Event()

        with in_thread(lambda: relay.run(stop)):
            clock.advance(seconds=3_601)
            try:
                eventually(lambda: relay.outcomes)
            finally:
                stop.set()

        assert recorded() == ["RED-CHAIR"]

    def test_runs_beside_other_idle_relays(self, paint, clock, poll_every):
        poll_every(1)
        stop = threading.Event()
        relays = [Relay(clock=clock), Relay(clock=clock)]

        with in_thread(lambda: relays[0].run(stop)), in_thread(lambda: relays[1].run(stop)):
            for number in range(20):
                announce(added(f"CHAIR-{number}"))
            try:
                eventually(lambda: len(recorded()) == 20)
            finally:
                stop.set()

        assert sorted(recorded()) == sorted(f"CHAIR-{number}" for number in range(20))

    def test_looks_once_for_several_publications_in_quick_succession(self, paint, relay, clock, monkeypatch):
        looks, subscribers_with_work = [], relay_module.subscribers_with_work
        monkeypatch.setattr(
            relay_module, "subscribers_with_work", lambda now: looks.append(now) or subscribers_with_work(now)
        )
        monkeypatch.setattr(relay_module, "LOOK_SECONDS", 0.1)
        stop = threading.Event()

        with in_thread(lambda: relay.run(stop)):
            try:
                eventually(lambda: len(looks) > 1)
                looks.clear()
                began = time.monotonic()
                for number in range(50):
                    announce(added(f"CHAIR-{number}"), at=clock() + timedelta(hours=1))
                    time.sleep(0.005)
                assert 1 <= len(looks) <= (time.monotonic() - began) / 0.1 + 1
            finally:
                stop.set()
