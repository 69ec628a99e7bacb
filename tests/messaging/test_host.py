import signal
import threading
import time

import pytest
from django.core.checks import Error

from messaging import host, relay
from messaging.contracts import ProductAdded
from messaging.models import Delivery
from tests.messaging.scenes import PATIENCE_SECONDS, added, announce, in_children, statuses, write_down, written
from tests.waiting import eventually


class TestCheckLease:
    def test_accepts_a_handler_limit_below_the_lease(self, messaging_settings):
        messaging_settings(handler_limit_seconds=20, lease_seconds=30)

        assert host.check_lease() == []

    @pytest.mark.parametrize("limit", [30, 31])
    def test_refuses_a_handler_limit_that_a_lease_does_not_outlast(self, messaging_settings, limit):
        messaging_settings(handler_limit_seconds=limit, lease_seconds=30)

        assert host.check_lease() == [
            Error(
                f"Handlers may run {limit} s but a lease ends after 30 s.",
                hint="Raise MESSAGING_LEASE_SECONDS above MESSAGING_HANDLER_LIMIT_SECONDS.",
                id="messaging.E001",
            )
        ]


@pytest.mark.django_db(transaction=True)
class TestStartInThread:
    def test_delivers_for_as_long_as_its_process_lives(self, subscribe):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)

        def serve() -> None:
            host.start_in_thread()
            announce(added("RED-CHAIR"))
            eventually(written)

        assert in_children(serve) == [0]

        assert written() == ["RED-CHAIR"]

    def test_goes_on_after_whatever_interrupts_it(self, subscribe, monkeypatch):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)

        interruptions = iter([MemoryError("not now")])
        claim_batch = relay.claim_batch

        def claim_at_the_second_try(*args, **kwargs):
            for interruption in interruptions:
                raise interruption
            return claim_batch(*args, **kwargs)

        def serve() -> None:
            monkeypatch.setattr(relay, "claim_batch", claim_at_the_second_try)
            host.start_in_thread()
            announce(added("RED-CHAIR"))
            eventually(written)

        assert in_children(serve) == [0]

        assert written() == ["RED-CHAIR"]


@pytest.mark.django_db(transaction=True)
class TestStartInWorker:
    def test_finishes_the_batch_in_hand_when_its_process_ends(self, subscribe):
        begun = threading.Event()

        @subscribe(ProductAdded)
        def paint(events):
            begun.set()
            time.sleep(0.2)  # longer than the process that spawned it wants to live
            write_down(events)

        def work() -> None:
            host.start_in_worker()
            begun.wait(PATIENCE_SECONDS)

        announce(added("RED-CHAIR"))

        assert in_children(work) == [0]

        assert written() == ["RED-CHAIR"]
        assert statuses() == {"RED-CHAIR": "delivered"}

    def test_ends_its_process_when_a_handler_overruns(self, subscribe, messaging_settings, monkeypatch, clock, relay):
        messaging_settings(handler_limit_seconds=0.05)
        monkeypatch.setattr(host, "WATCH_SECONDS", 0.05)
        hangs = [True]

        @subscribe(ProductAdded)
        def paint(events):
            if hangs:
                threading.Event().wait(PATIENCE_SECONDS)
            write_down(events)

        def work() -> None:
            host.start_in_worker()
            threading.Event().wait(PATIENCE_SECONDS)

        announce(added("RED-CHAIR"))

        assert in_children(work) == [-signal.SIGKILL]

        assert (statuses(), Delivery.objects.get().attempts) == ({"RED-CHAIR": "pending"}, 1)
        hangs.clear()
        clock.advance(seconds=31)
        assert relay.drain() == {("tests.paint", "delivered"): 1}
