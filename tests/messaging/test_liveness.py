import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from messaging import liveness
from messaging.contracts import ProductAdded
from messaging.kernel.process_locks import free_locks
from messaging.liveness import take_over_from_dead_workers
from messaging.models import Attempt, Delivery, Worker
from messaging.relay import Relay
from tests.commands import run
from tests.database import drop_other_connections
from tests.messaging.concurrency import PATIENCE_SECONDS, beside, in_processes, in_thread
from tests.messaging.products import added, announce, record, recorded
from tests.processes import freeze, kill
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True)

DIED = 9
TAKEOVER_SECONDS = 3


def die(*_: object) -> None:
    os._exit(DIED)


def work() -> None:
    """Run a relay until the process is killed."""
    Relay().run(threading.Event())


def lock_files() -> list[Path]:
    database = Path(connection.settings_dict["NAME"])
    return list(database.parent.glob(f"{database.name}-worker-*")) if connection.vendor == "sqlite" else []


@pytest.fixture(autouse=True)
def _no_lock_file_remains():
    """Remove the files of workers that were killed, by earlier tests too."""
    remove_lock_files()
    yield
    remove_lock_files()


def remove_lock_files() -> None:
    for file in lock_files():
        file.unlink()


@pytest.fixture
def hasty(monkeypatch) -> None:
    """Check other workers every 20 ms."""
    monkeypatch.setattr(liveness, "CHECK_SECONDS", 0.02)


@pytest.fixture
def hangs_elsewhere(subscribe) -> Callable[[], bool]:
    """A subscriber that never returns in another process; whether it was called there."""
    here, is_called = os.getpid(), get_context("fork").Event()

    @subscribe(ProductAdded, transactional=False)  # another would hold SQLite's write lock
    def paint(events):
        if os.getpid() != here:
            is_called.set()
            time.sleep(PATIENCE_SECONDS)
        record(events)

    return is_called.is_set


class TestDeadWorker:
    def test_loses_its_claims_to_another_within_three_seconds(self, hangs_elsewhere, relay):
        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        stop = threading.Event()

        with beside(work) as [worker]:
            eventually(hangs_elsewhere)
            with in_thread(lambda: relay.run(stop)):
                kill(worker)
                try:
                    seconds = eventually(lambda: len(recorded()) == 2)
                finally:
                    stop.set()

        assert seconds < TAKEOVER_SECONDS
        assert recorded() == ["RED-CHAIR", "BLUE-CHAIR"]
        assert set(Delivery.objects.values_list("status", "attempts", "suspect")) == {("delivered", 2, True)}

    def test_loses_its_claims_to_the_next_that_starts_if_all_are_dead(self, hangs_elsewhere, hasty, messaging_settings):
        messaging_settings(batch_size=1)
        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        with beside(work, work):
            eventually(lambda: Delivery.objects.filter(attempts=1).count() == 2)

        assert run("drain") == "subscriber\toutcome\tdeliveries\ntests.paint\tdelivered\t2\n"
        assert not Worker.objects.exists()
        assert not lock_files()

    def test_loses_nothing_but_its_claims(self, hangs_elsewhere, hasty, relay):
        announce(added("RED-CHAIR"))
        relay.drain()
        announce(added("LATER-CHAIR"), at=timezone.now() + timedelta(seconds=10))
        others = Delivery.objects.exclude(key="BLUE-CHAIR").order_by("id").values()
        before = list(others)
        announce(added("BLUE-CHAIR"))
        with beside(work):
            eventually(hangs_elsewhere)

        take_over_from_dead_workers()

        assert list(others) == before
        assert relay.drain() == {("tests.paint", "delivered"): 1}

    def test_makes_a_message_that_kills_each_worker_a_dead_letter(self, subscribe, hasty, relay, messaging_settings):
        messaging_settings(max_attempts=3)
        subscribe(ProductAdded)(die)
        announce(added("KILLER-CHAIR"))

        for _ in range(3):
            assert in_processes(work) == [DIED]
            take_over_from_dead_workers()

        assert relay.drain() == {("tests.die", "dead"): 1}
        assert Attempt.objects.get().error == "3 workers died with this delivery."

    def test_takes_no_other_call_along_whenever_a_message_kills_it(self, subscribe, hasty, relay, messaging_settings):
        messaging_settings(max_attempts=4)

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            if added("KILLER-CHAIR") in events:
                die()
            time.sleep(0.15)  # longer than until the call that kills
            record(events)

        good = [f"CHAIR-{number}" for number in range(4)]
        announce(*map(added, good), added("KILLER-CHAIR"))

        for _ in range(4):
            assert in_processes(work) == [DIED]
            take_over_from_dead_workers()

        assert relay.drain() == {("tests.call_painter", "dead"): 1}
        assert recorded() == good

    def test_is_forgotten_if_it_died_before_it_held_its_lock(self, hasty, monkeypatch):
        monkeypatch.setattr(liveness, "process_lock", die)
        assert in_processes(work) == [DIED]
        assert Worker.objects.exists()

        take_over_from_dead_workers()

        assert not Worker.objects.exists()

    @pytest.mark.parametrize("die_now", [die, lambda _: transaction.on_commit(die)], ids=["before", "after"])
    def test_loses_its_claims_even_if_its_successor_dies_at_the_commit(
        self, hangs_elsewhere, hasty, relay, monkeypatch, die_now
    ):
        announce(added("RED-CHAIR"))
        with beside(work):
            eventually(hangs_elsewhere)
        with monkeypatch.context() as patch:
            patch.setattr(liveness, "remove_lock", die_now)
            assert in_processes(take_over_from_dead_workers) == [DIED]

        take_over_from_dead_workers()

        assert relay.drain() == {("tests.paint", "delivered"): 1}
        assert not Worker.objects.exists()


class TestLiveWorker:
    def test_keeps_its_claims_while_it_is_frozen_until_its_lease_ends(self, hangs_elsewhere, hasty, relay, clock):
        announce(added("RED-CHAIR"))
        with beside(work) as [worker]:
            eventually(hangs_elsewhere)
            with transaction.atomic():  # on SQLite the only write: the worker is not frozen in one of its own
                freeze(worker)
            checks = liveness.Checks(clock)

            for _ in range(liveness.CHECKS_UNTIL_DEAD):
                assert not checks.make([Worker.objects.get().number])
            assert relay.drain() == {}
            clock.advance(seconds=31)
            assert relay.drain() == {("tests.paint", "delivered"): 1}

    def test_stays_registered_when_its_database_drops_its_connections(self, paint, hasty, relay):
        stop = threading.Event()
        with in_thread(lambda: relay.run(stop)):
            eventually(Worker.objects.exists)
            [number] = Worker.objects.values_list("number", flat=True)
            eventually(lambda: not free_locks([number]))

            drop_other_connections()
            announce(added("RED-CHAIR"))

            try:
                eventually(recorded)
                eventually(lambda: not free_locks([number]))
                assert list(Worker.objects.values_list("number", flat=True)) == [number]
            finally:
                stop.set()

    def test_loses_its_claims_and_registers_again_if_it_was_taken_for_dead(self, subscribe, hasty, relay):
        hangs, goes_on, calls = threading.Event(), threading.Event(), []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append(events)
            if len(calls) == 1:
                hangs.set()
                goes_on.wait(PATIENCE_SECONDS)

        announce(added("RED-CHAIR"))
        stop, wrongly_dead = threading.Event(), Relay()
        with in_thread(lambda: wrongly_dead.run(stop)):
            hangs.wait(PATIENCE_SECONDS)
            [number] = Worker.objects.values_list("number", flat=True)

            liveness._unregister(number, timezone.now())
            outcomes = relay.drain()
            goes_on.set()

            try:
                eventually(lambda: wrongly_dead.outcomes)
                eventually(Worker.objects.exclude(number=number).exists)
            finally:
                stop.set()

        assert outcomes == {("tests.call_painter", "delivered"): 1}
        assert wrongly_dead.outcomes == {("tests.call_painter", "lease_lost"): 1}
        assert not Worker.objects.exists()
        assert not lock_files()
