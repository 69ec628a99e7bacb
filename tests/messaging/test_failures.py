"""
Failures that real systems had, each told as a story that ours survives.

Processes are real, and so are their deaths; what takes time is left to a clock that can be advanced.
"""

import os
import threading
from datetime import timedelta

import pytest
from django.db import transaction

from messaging.claims import claim_batch
from messaging.contracts import ProductAdded
from messaging.models import Attempt, Delivery, OutboxMessage
from messaging.outbox import publish
from messaging.relay import Relay
from messaging.subscribers import all_subscribers
from tests.messaging.scenes import (
    PATIENCE_SECONDS,
    added,
    announce,
    beside,
    in_children,
    statuses,
    write_down,
    written,
)

pytestmark = pytest.mark.django_db(transaction=True)

DIED = 9


def die() -> None:
    os._exit(DIED)


class TestLossBetweenCommitAndPublication:
    def test_is_impossible_for_a_process_that_dies_right_after_its_commit(self, paint, relay):
        def announce_and_die() -> None:
            with transaction.atomic():
                publish(added("RED-CHAIR"))
                transaction.on_commit(die)

        assert in_children(announce_and_die) == [DIED]

        relay.drain()

        assert written() == ["RED-CHAIR"]

    def test_has_nothing_to_lose_when_the_process_dies_before_its_commit(self, paint, relay):
        def announce_and_die() -> None:
            with transaction.atomic():
                publish(added("RED-CHAIR"))
                die()

        assert in_children(announce_and_die) == [DIED]

        assert relay.drain() == {}
        assert not OutboxMessage.objects.exists()


class TestWorkerDeath:
    def test_before_the_effect_commits_is_made_good_by_an_heir(self, subscribe, relay, clock):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            if os.getpid() != survivor:
                die()

        survivor = os.getpid()
        announce(added("RED-CHAIR"))

        assert in_children(lambda: Relay(clock=clock).drain()) == [DIED]

        assert relay.drain() == {}  # its lease has not ended yet
        clock.advance(seconds=31)
        assert relay.drain() == {("tests.paint", "delivered"): 1}
        assert written() == ["RED-CHAIR"]

    def test_after_the_effect_committed_changes_nothing(self, subscribe, relay, clock):
        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            transaction.on_commit(die)

        announce(added("RED-CHAIR"))

        assert in_children(lambda: Relay(clock=clock).drain()) == [DIED]

        clock.advance(seconds=31)
        assert relay.drain() == {}
        assert written() == ["RED-CHAIR"]


class TestPoison:
    def test_ends_as_a_dead_letter_while_a_thousand_good_messages_flow(
        self, subscribe, relay, clock, messaging_settings
    ):
        messaging_settings(max_attempts=3)

        @subscribe(ProductAdded)
        def paint(events):
            write_down(events)
            if added("DEADLY-CHAIR") in events:
                die()

        good = [f"CHAIR-{number}" for number in range(1_000)]
        announce(added("GARBLED-CHAIR"), added("DEADLY-CHAIR"), *map(added, good))
        OutboxMessage.objects.filter(key="GARBLED-CHAIR").update(payload='{"sku": 7}')

        deaths = 0
        while in_children(lambda: Relay(clock=clock).drain()) == [DIED]:
            deaths += 1
            clock.advance(seconds=31)

        assert deaths == 3
        assert sorted(written()) == sorted(good)
        assert dict(Attempt.objects.values_list("delivery__key", "error_class")) == {
            "GARBLED-CHAIR": "Undecodable",
            "DEADLY-CHAIR": "WorkerDied",
        }
        assert Attempt.objects.get(error_class="WorkerDied").error == "3 workers died with this delivery."
        assert set(Delivery.objects.dead().values_list("key", flat=True)) == {"GARBLED-CHAIR", "DEADLY-CHAIR"}

    def test_of_a_type_from_the_future_waits_for_its_code_as_a_dead_letter(self, paint, relay, clock):
        announce(added("RED-CHAIR"))
        OutboxMessage.objects.update(type="orders.product_dreamt")

        assert relay.drain() == {("tests.paint", "dead"): 1}

        OutboxMessage.objects.update(type="orders.product_added")  # the deployment that knows it
        Delivery.objects.replay(clock())
        relay.drain()
        assert written() == ["RED-CHAIR"]


class TestFrozenWorker:
    def test_is_fenced_off_from_what_its_heir_has_finished(self, paint, relay, clock):
        announce(added("RED-CHAIR"))
        frozen = claim_batch(all_subscribers()["tests.paint"], now=clock())
        clock.advance(seconds=31)
        with beside(Relay(clock=clock).drain) as heir:
            heir.result(PATIENCE_SECONDS)

        relay._deliver(frozen)  # it thaws

        assert relay.outcomes == {("tests.paint", "lease_lost"): 1}
        assert written() == ["RED-CHAIR"]
        assert statuses() == {"RED-CHAIR": "delivered"}

    def test_does_not_hold_up_others_while_it_calls_the_outside(self, subscribe, relay, clock):
        hangs, thaws, calls = threading.Event(), threading.Event(), []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append(threading.current_thread())
            if len(calls) == 1:
                hangs.set()
                thaws.wait(PATIENCE_SECONDS)

        announce(added("RED-CHAIR"))
        frozen = Relay(clock=clock)
        with beside(frozen.drain):
            hangs.wait(PATIENCE_SECONDS)
            clock.advance(seconds=31)
            heirs_outcomes = relay.drain()
            thaws.set()

        assert heirs_outcomes == {("tests.call_painter", "delivered"): 1}
        assert frozen.outcomes == {("tests.call_painter", "lease_lost"): 1}
        assert Delivery.objects.get().attempts == 2


class TestSeveralWorkers:
    def test_give_each_event_one_effect_and_never_find_the_database_locked(
        self, subscribe, relay, clock, messaging_settings
    ):
        messaging_settings(batch_size=7)

        @subscribe(ProductAdded)
        def paint(events):
            known = set(written())  # a reader that turns writer
            write_down([event for event in events if event.sku not in known])

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            with transaction.atomic():
                write_down([added("CALLED-FOR", event.sku) for event in events])

        skus = [f"CHAIR-{number}" for number in range(300)]

        def publish_and_deliver(part: int) -> None:
            for sku in skus[part::4]:
                announce(added(sku))
                if sku.endswith("9"):
                    Relay(clock=clock).deliver_due()
            Relay(clock=clock).drain()

        assert in_children(*[lambda part=part: publish_and_deliver(part) for part in range(4)]) == [0, 0, 0, 0]

        relay.drain()
        assert sorted(written()) == sorted([*skus, *[f"CALLED-FOR {sku}" for sku in skus]])
        assert not Attempt.objects.exists()
        assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}


class TestReplay:
    def test_reaches_only_the_subscriber_that_failed(self, subscribe, paint, relay, clock):
        broken = [True]

        @subscribe(ProductAdded)
        def varnish(events):
            if broken:
                raise ValueError("the brush broke")
            write_down([added(event.sku, "varnished") for event in events])

        announce(added("RED-CHAIR"))
        for _ in range(12):
            relay.drain()
            clock.advance(seconds=300)
        broken.clear()

        assert Delivery.objects.replay(clock()) == 1
        relay.drain()

        assert written() == ["RED-CHAIR", "RED-CHAIR varnished"]
        assert clock() - Delivery.objects.get(subscriber="tests.varnish").delivered_at < timedelta(minutes=1)
