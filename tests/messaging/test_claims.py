import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from messaging import batches
from messaging.claims import WITH_WORK, Claim, LeaseLost, claim_batch, subscribers_with_work
from messaging.contracts import ProductAdded, StockDepleted
from messaging.models import Delivery
from messaging.relay import Relay
from messaging.subscribers import Subscriber, all_subscribers
from tests.messaging.concurrency import in_thread
from tests.messaging.products import added, announce, recorded
from tests.outbox import counting_statements


@pytest.fixture
def painter(paint) -> Subscriber:
    return all_subscribers()["tests.paint"]


def keys(claim: Claim | None) -> list[str]:
    return [delivery.key for delivery in claim.deliveries] if claim else []


def ids(claim: Claim | None) -> list[int]:
    return [delivery.pk for delivery in claim.deliveries] if claim else []


@pytest.mark.django_db
class TestClaim:
    def test_counts_the_attempt_and_takes_a_lease(self, painter, clock):
        announce(added("RED-CHAIR"))
        now = clock()

        claim = claim_batch(painter, now=now)

        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.attempts, delivery.claim_token) == ("pending", 1, claim.token)
        assert delivery.due_at == now + timedelta(seconds=30)

    def test_skips_a_delivery_that_is_not_due(self, painter, clock):
        announce(added("RED-CHAIR"), at=clock() + timedelta(minutes=1))

        assert claim_batch(painter, now=clock()) is None

        clock.advance(seconds=61)
        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_claims_one_batch_at_a_time(self, painter, clock, messaging_settings):
        messaging_settings(batch_size=2)
        announce(*[added(sku) for sku in ("RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE")])

        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR", "BLUE-CHAIR"]
        assert keys(claim_batch(painter, now=clock())) == ["OLD-TABLE"]

    def test_limits_the_bytes_of_a_batch_but_claims_at_least_one(self, painter, clock, monkeypatch):
        monkeypatch.setattr(batches, "BATCH_BYTES", 150)
        announce(added("SMALL", "s"), added("MEDIUM", "m" * 80), added("HUGE", "h" * 500), added("TINY", "t"))

        assert keys(claim_batch(painter, now=clock())) == ["SMALL", "MEDIUM"]
        assert keys(claim_batch(painter, now=clock())) == ["HUGE"]
        assert keys(claim_batch(painter, now=clock())) == ["TINY"]

    def test_claims_deliveries_whose_worker_died_in_small_batches_and_alone_after_another_death(
        self, painter, clock, messaging_settings
    ):
        messaging_settings(batch_size=5)
        announce(*[added(f"CHAIR-{number}") for number in range(5)])
        claim_batch(painter, now=clock())
        clock.advance(seconds=31)
        announce(added("HEALTHY-CHAIR"))

        small = [keys(claim_batch(painter, now=clock())) for _ in range(4)]
        clock.advance(seconds=31)
        alone = [keys(claim_batch(painter, now=clock())) for _ in range(6)]

        assert small == [["HEALTHY-CHAIR"], ["CHAIR-0", "CHAIR-1"], ["CHAIR-2", "CHAIR-3"], ["CHAIR-4"]]
        assert sorted(alone) == [*([f"CHAIR-{number}"] for number in range(5)), ["HEALTHY-CHAIR"]]

    def test_claims_a_delivery_whose_worker_died_alone_for_its_last_attempt(self, painter, clock, messaging_settings):
        messaging_settings(max_attempts=2)
        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        claim_batch(painter, now=clock())
        clock.advance(seconds=31)

        assert [keys(claim_batch(painter, now=clock())) for _ in range(2)] == [["RED-CHAIR"], ["BLUE-CHAIR"]]

    def test_claims_a_suspect_alone_from_then_on(self, painter, clock):
        announce(added("SUSPECT-CHAIR"))
        claim_batch(painter, now=clock())
        clock.advance(seconds=31)
        suspect = claim_batch(painter, now=clock())
        suspect.update(due_at=clock(), claim_token=None)  # as after a failed attempt
        clock.advance(seconds=1)
        announce(added("HEALTHY-CHAIR"))

        assert keys(claim_batch(painter, now=clock())) == ["HEALTHY-CHAIR"]
        assert keys(claim_batch(painter, now=clock())) == ["SUSPECT-CHAIR"]


@pytest.mark.django_db
class TestOrderOfAKey:
    def test_allows_one_claimed_delivery_per_key(self, painter, clock):
        announce(added("RED-CHAIR", "first"), added("RED-CHAIR", "second"), added("BLUE-CHAIR"))

        first = claim_batch(painter, now=clock())
        assert keys(first) == ["RED-CHAIR", "BLUE-CHAIR"]
        assert claim_batch(painter, now=clock()) is None

        first.mark_delivered(clock())
        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    @pytest.mark.parametrize("at_once", [{}, {"at": timezone.now()}], ids=["published", "delayed until now"])
    def test_waits_for_the_retry_of_an_earlier_delivery(self, painter, clock, at_once):
        announce(added("RED-CHAIR", "first"), **at_once)
        claim_batch(painter, now=clock()).update(due_at=clock() + timedelta(minutes=5), claim_token=None)
        announce(added("RED-CHAIR", "second"))

        assert claim_batch(painter, now=clock()) is None

    def test_does_not_wait_for_a_delayed_delivery(self, painter, clock):
        announce(added("RED-CHAIR", "later"), at=clock() + timedelta(minutes=5))
        announce(added("RED-CHAIR", "now"))

        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_allows_one_of_several_delayed_deliveries_that_are_due(self, painter, clock):
        announce(added("RED-CHAIR", "later"), at=clock() + timedelta(seconds=2))
        announce(added("RED-CHAIR", "soon"), at=clock() + timedelta(seconds=1))
        clock.advance(seconds=3)
        announce(added("RED-CHAIR", "now"))

        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_does_not_wait_for_a_dead_letter(self, painter, clock):
        announce(added("RED-CHAIR", "first"), added("RED-CHAIR", "second"))
        claim_batch(painter, now=clock()).update(status="dead", claim_token=None)

        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_is_independent_for_each_subscriber(self, subscribe, painter, clock):
        @subscribe(ProductAdded)
        def varnish(events):
            pass

        announce(added("RED-CHAIR", "first"), added("RED-CHAIR", "second"))
        claim_batch(painter, now=clock())

        assert keys(claim_batch(all_subscribers()["tests.varnish"], now=clock())) == ["RED-CHAIR"]


@pytest.mark.django_db
class TestLeaseLost:
    @pytest.fixture
    def late(self, painter, clock) -> Claim:
        announce(added("RED-CHAIR"), added("BLUE-CHAIR"))
        late = claim_batch(painter, now=clock())
        clock.advance(seconds=31)
        claim_batch(painter, at_most=1, now=clock())
        return late

    @pytest.mark.parametrize("write", [Claim.mark_delivered, Claim.renew])
    def test_is_raised_by_a_late_worker(self, late, clock, write):
        with pytest.raises(LeaseLost, match=r"tests.paint still holds 1 of 2 claimed deliveries\."):
            write(late, clock())

    def test_is_not_raised_after_a_timely_renewal(self, painter, clock):
        announce(added("RED-CHAIR"))
        claim = claim_batch(painter, now=clock())
        clock.advance(seconds=20)
        claim.renew(clock())
        clock.advance(seconds=20)

        assert claim_batch(painter, now=clock()) is None
        claim.mark_delivered(clock())
        assert Delivery.objects.get().status == "delivered"


@pytest.mark.django_db
class TestSubscribersWithWork:
    def test_returns_subscribers_with_due_deliveries_by_one_statement(self, subscribe, painter, clock):
        @subscribe(StockDepleted)
        def varnish(events):
            pass

        announce(added("RED-CHAIR"))
        announce(StockDepleted(sku="RED-CHAIR"), at=clock() + timedelta(minutes=1))

        with counting_statements() as statements:
            assert subscribers_with_work(clock()) == [painter]
        assert len(statements) == 1

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite plans without statistics")
    def test_reads_the_due_deliveries_of_each_subscriber_although_statistics_know_of_none(self, painter, clock):
        announce(*[added(f"TABLE-{number}") for number in range(1_000)])
        Delivery.objects.update(status="delivered", delivered_at=clock())
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE messaging_delivery")
            names = "(%s), ('tests.varnish')"
            cursor.execute(f"EXPLAIN (FORMAT JSON) {WITH_WORK.format(names=names)}", [painter.name, clock()])
            plan = json.dumps(cursor.fetchone())

        assert re.findall(r'"Index Cond": "\(\((\w+) = ', plan) == ["subscriber"]


@pytest.mark.django_db(transaction=True)
class TestConcurrentClaims:
    def test_never_claim_the_same_delivery(self, painter, clock, messaging_settings):
        messaging_settings(batch_size=5)
        announce(*[added(f"CHAIR-{number}") for number in range(100)])

        def claim_all() -> list[int]:
            return [pk for _ in range(20) for pk in ids(claim_batch(painter, now=clock()))]

        with in_thread(claim_all) as one, in_thread(claim_all) as another:
            taken = one.result() + another.result()

        assert len(taken) == len(set(taken))
        assert sorted(taken + [pk for _ in range(20) for pk in ids(claim_batch(painter, now=clock()))]) == sorted(
            Delivery.objects.values_list("pk", flat=True)
        )

    def test_keep_the_order_of_a_key(self, painter, clock, messaging_settings):
        messaging_settings(batch_size=2)
        announce(*[added(sku, f"{turn:02}") for turn in range(20) for sku in ("RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE")])

        with in_thread(Relay(clock=clock).drain), in_thread(Relay(clock=clock).drain):
            pass

        Relay(clock=clock).drain()
        for sku in ("RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE"):
            assert [text for text in recorded() if text.startswith(sku)] == [f"{sku} {turn:02}" for turn in range(20)]
