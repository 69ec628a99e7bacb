"""
Failures of real systems that this one survives.

Processes really die; time is a clock that the tests advance.
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
from tests.messaging.concurrency import PATIENCE_SECONDS, in_processes, in_thread
from tests.messaging.products import added, announce, record, recorded, statuses

pytestmark = pytest.mark.django_db(transaction=True)

DIED = 9


def die() -> None:
    os._exit(DIED)


class TestDeathOfAPublisher:
    @pytest.mark.parametrize(
        ("die_now", "effects"),
        [(die, []), (lambda: transaction.on_commit(die), ["RED-CHAIR"])],
        ids=["before", "after"],
    )
    def test_loses_no_event_and_publishes_none_without_its_change(self, paint, relay, die_now, effects):
        def publish_and_die() -> None:
            with transaction.atomic():
                publish(added("RED-CHAIR"))
                die_now()

        assert in_processes(publish_and_die) == [DIED]

        assert OutboxMessage.objects.count() == len(effects)
        relay.drain()
        assert recorded() == effects


class TestDeathOfAWorker:
    def test_before_its_commit_leaves_the_delivery_to_another(self, subscribe, relay, clock):
        @subscribe(ProductAdded)
        def paint(events):
            record(events)
            if os.getpid() != survivor:
                die()

        survivor = os.getpid()
        announce(added("RED-CHAIR"))

        assert in_processes(lambda: Relay(clock=clock).drain()) == [DIED]

        assert relay.drain() == {}  # the lease has not ended
        clock.advance(seconds=31)
        assert relay.drain() == {("tests.paint", "delivered"): 1}
        assert recorded() == ["RED-CHAIR"]

    def test_after_its_commit_changes_nothing(self, subscribe, relay, clock):
        @subscribe(ProductAdded)
        def paint(events):
            record(events)
            transaction.on_commit(die)

        announce(added("RED-CHAIR"))

        assert in_processes(lambda: Relay(clock=clock).drain()) == [DIED]

        clock.advance(seconds=31)
        assert relay.drain() == {}
        assert recorded() == ["RED-CHAIR"]


class TestPoisonMessage:
    def test_becomes_a_dead_letter_and_harms_none_of_a_thousand_others(
        self, subscribe, relay, clock, messaging_settings
    ):
        messaging_settings(max_attempts=3)

        @subscribe(ProductAdded)
        def paint(events):
            record(events)
            if added("KILLER-CHAIR") in events:
                die()

        good = [f"CHAIR-{number}" for number in range(1_000)]
        announce(added("INVALID-CHAIR"), added("KILLER-CHAIR"), *map(added, good))
        OutboxMessage.objects.filter(key="INVALID-CHAIR").update(payload='{"sku": 7}')

        deaths = 0
        while in_processes(lambda: Relay(clock=clock).drain()) == [DIED]:
            deaths += 1
            clock.advance(seconds=31)

        assert deaths == 3
        assert sorted(recorded()) == sorted(good)
        assert dict(Attempt.objects.values_list("delivery__key", "error_class")) == {
            "INVALID-CHAIR": "Undecodable",
            "KILLER-CHAIR": "WorkerDied",
        }
        assert Attempt.objects.get(error_class="WorkerDied").error == "3 workers died with this delivery."
        assert set(Delivery.objects.dead().values_list("key", flat=True)) == {"INVALID-CHAIR", "KILLER-CHAIR"}


class TestFrozenWorker:
    def test_is_rolled_back_after_another_delivered(self, paint, relay, clock):
        announce(added("RED-CHAIR"))
        frozen = claim_batch(all_subscribers()["tests.paint"], now=clock())
        clock.advance(seconds=31)
        with in_thread(Relay(clock=clock).drain) as successor:
            successor.result(PATIENCE_SECONDS)

        relay.deliver(frozen)

        assert relay.outcomes == {("tests.paint", "lease_lost"): 1}
        assert recorded() == ["RED-CHAIR"]
        assert statuses() == {"RED-CHAIR": "delivered"}

    def test_delays_no_other_worker_while_it_calls_the_outside(self, subscribe, relay, clock):
        hangs, goes_on, calls = threading.Event(), threading.Event(), []

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            calls.append(threading.current_thread())
            if len(calls) == 1:
                hangs.set()
                goes_on.wait(PATIENCE_SECONDS)

        announce(added("RED-CHAIR"))
        frozen = Relay(clock=clock)
        with in_thread(frozen.drain):
            hangs.wait(PATIENCE_SECONDS)
            clock.advance(seconds=31)
            outcomes = relay.drain()
            goes_on.set()

        assert outcomes == {("tests.call_painter", "delivered"): 1}
        assert frozen.outcomes == {("tests.call_painter", "lease_lost"): 1}
        assert Delivery.objects.get().attempts == 2


class TestSeveralWorkers:
    def test_record_each_event_once_and_never_find_the_database_locked(
        self, subscribe, relay, clock, messaging_settings
    ):
        messaging_settings(batch_size=7)

        @subscribe(ProductAdded)
        def paint(events):
            earlier = set(recorded())  # a transaction that reads before it writes
            record([event for event in events if event.sku not in earlier])

        @subscribe(ProductAdded, transactional=False)
        def call_painter(events):
            with transaction.atomic():
                record([added("CALLED-FOR", event.sku) for event in events])

        skus = [f"CHAIR-{number}" for number in range(300)]

        def publish_and_deliver(part: int) -> None:
            for sku in skus[part::4]:
                announce(added(sku))
                if sku.endswith("9"):
                    Relay(clock=clock).deliver_due()
            Relay(clock=clock).drain()

        assert in_processes(*[lambda part=part: publish_and_deliver(part) for part in range(4)]) == [0, 0, 0, 0]

        relay.drain()
        assert sorted(recorded()) == sorted([*skus, *[f"CALLED-FOR {sku}" for sku in skus]])
        assert not Attempt.objects.exists()
        assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}


class TestReplay:
    def test_reaches_only_the_subscriber_that_failed(self, subscribe, paint, relay, clock):
        broken = [True]

        @subscribe(ProductAdded)
        def varnish(events):
            if broken:
                raise ValueError("no varnish left")
            record([added(event.sku, "varnished") for event in events])

        announce(added("RED-CHAIR"))
        for _ in range(12):
            relay.drain()
            clock.advance(seconds=300)
        broken.clear()

        assert Delivery.objects.replay(clock()) == 1
        relay.drain()

        assert recorded() == ["RED-CHAIR", "RED-CHAIR varnished"]
        assert clock() - Delivery.objects.get(subscriber="tests.varnish").delivered_at < timedelta(minutes=1)
