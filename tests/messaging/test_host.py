import gc
import signal
import sys
import threading
import time

import pytest
from django.core.checks import Error

from messaging import host, relay
from messaging.contracts import ProductAdded
from tests.messaging.concurrency import PATIENCE_SECONDS, in_processes
from tests.messaging.products import added, announce, record, recorded, statuses
from tests.waiting import eventually


class TestCheckLease:
    def test_accepts_a_handler_limit_below_the_lease(self, messaging_settings):
        messaging_settings(handler_limit_seconds=20, lease_seconds=30)

        assert host.check_lease() == []

    @pytest.mark.parametrize("limit", [30, 31])
    def test_rejects_a_handler_limit_that_is_not_below_the_lease(self, messaging_settings, limit):
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
    def test_restarts_after_an_error(self, paint, monkeypatch):
        errors = iter([MemoryError("not now")])
        claim_batch = relay.claim_batch

        def claim_at_the_second_try(*args, **kwargs):
            for error in errors:
                raise error
            return claim_batch(*args, **kwargs)

        def serve() -> None:
            monkeypatch.setattr(relay, "claim_batch", claim_at_the_second_try)
            host.start_in_thread()
            announce(added("RED-CHAIR"))
            eventually(recorded)

        assert in_processes(serve) == [0]

        assert recorded() == ["RED-CHAIR"]


@pytest.mark.django_db(transaction=True)
class TestStartInWorker:
    def test_finishes_the_current_batch_when_its_process_exits(self, subscribe):
        started = threading.Event()

        @subscribe(ProductAdded)
        def paint(events):
            started.set()
            time.sleep(0.2)  # longer than the main thread lives
            record(events)

        def work() -> None:
            host.start_in_worker()
            started.wait(PATIENCE_SECONDS)

        announce(added("RED-CHAIR"))

        assert in_processes(work) == [0]

        assert recorded() == ["RED-CHAIR"]
        assert statuses() == {"RED-CHAIR": "delivered"}

    def test_exempts_loaded_code_from_garbage_collection(self):
        def work() -> None:
            host.start_in_worker()
            sys.exit(gc.get_freeze_count() == 0)

        assert in_processes(work) == [0]

    def test_ends_its_process_when_a_handler_in_a_lane_exceeds_its_limit(self, subscribe, messaging_settings):
        messaging_settings(handler_limit_seconds=1, outside_calls_at_once=1)

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            record(events)
            time.sleep(PATIENCE_SECONDS)

        def work() -> None:
            host.start_in_worker()
            time.sleep(PATIENCE_SECONDS)

        announce(added("RED-CHAIR"))

        assert in_processes(work) == [-signal.SIGKILL]

        assert recorded() == ["RED-CHAIR"]
        assert statuses() == {"RED-CHAIR": "pending"}
