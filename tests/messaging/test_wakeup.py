import threading
import time
from datetime import timedelta

import pytest

from messaging import wakeup
from messaging.relay import Relay
from messaging.wakeup import open_waiter
from tests.messaging.scenes import PATIENCE_SECONDS, added, announce, beside, written
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def seconds_of(wait, *arguments) -> float:
    begin = time.monotonic()
    wait(*arguments)
    return time.monotonic() - begin


class TestWaiter:
    def test_wakes_whoever_waits_when_something_is_published(self, paint, monkeypatch):
        monkeypatch.setattr(wakeup, "POLL_SECONDS", PATIENCE_SECONDS)
        subscribed = threading.Event()

        def idle() -> float:
            with open_waiter() as waiter, waiter.subscribed():
                subscribed.set()
                return seconds_of(waiter.wait, threading.Event())

        with beside(idle) as worker:
            subscribed.wait(PATIENCE_SECONDS)
            announce(added("RED-CHAIR"))

        assert worker.result() < PATIENCE_SECONDS / 2

    def test_wakes_whoever_was_armed_before_it_began_to_wait(self, paint, monkeypatch):
        monkeypatch.setattr(wakeup, "POLL_SECONDS", PATIENCE_SECONDS)

        with open_waiter() as waiter, waiter.subscribed():
            announce(added("RED-CHAIR"))

            assert seconds_of(waiter.wait, threading.Event()) < PATIENCE_SECONDS / 2

    def test_is_silent_about_what_was_published_before(self, paint, monkeypatch):
        monkeypatch.setattr(wakeup, "POLL_SECONDS", 0.1)

        with open_waiter() as waiter:
            announce(added("RED-CHAIR"))
            with waiter.subscribed():
                assert seconds_of(waiter.wait, threading.Event()) >= 0.1

    def test_lets_nobody_wait_longer_than_a_poll(self, monkeypatch):
        monkeypatch.setattr(wakeup, "POLL_SECONDS", 0.1)

        with open_waiter() as waiter, waiter.subscribed():
            assert 0.1 <= seconds_of(waiter.wait, threading.Event()) < PATIENCE_SECONDS / 2

    def test_lets_nobody_wait_who_was_told_to_stop(self, monkeypatch):
        monkeypatch.setattr(wakeup, "POLL_SECONDS", PATIENCE_SECONDS)
        stop = threading.Event()
        stop.set()

        with open_waiter() as waiter, waiter.subscribed():
            assert seconds_of(waiter.wait, stop) < PATIENCE_SECONDS / 2


class TestIdleRelay:
    def test_is_woken_for_delayed_messages_by_its_poll(self, paint, relay, clock, monkeypatch):
        monkeypatch.setattr(wakeup, "POLL_SECONDS", 0.05)
        announce(added("RED-CHAIR"), at=clock() + timedelta(hours=1))
        stop = threading.Event()

        with beside(lambda: relay.run(stop)):
            clock.advance(seconds=3_601)
            try:
                eventually(lambda: relay.outcomes)
            finally:
                stop.set()

        assert written() == ["RED-CHAIR"]

    def test_shares_its_waiter_with_others(self, paint, clock, monkeypatch):
        monkeypatch.setattr(wakeup, "POLL_SECONDS", 1)
        stop = threading.Event()
        relays = [Relay(clock=clock), Relay(clock=clock)]

        with beside(lambda: relays[0].run(stop)), beside(lambda: relays[1].run(stop)):
            for number in range(20):
                announce(added(f"CHAIR-{number}"))
            try:
                eventually(lambda: len(written()) == 20)
            finally:
                stop.set()

        assert sorted(written()) == sorted(f"CHAIR-{number}" for number in range(20))
