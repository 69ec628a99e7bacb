from datetime import timedelta

import pytest

from messaging import claims
from messaging.claims import Claim, LeaseLost, claim_batch, subscribers_with_work
from messaging.contracts import ProductAdded, StockDepleted
from messaging.models import Delivery
from messaging.relay import Relay
from messaging.subscribers import Subscriber, all_subscribers
from tests.messaging.scenes import added, announce, beside, write_down, written
from tests.outbox import counting_statements


@pytest.fixture
def painter(subscribe) -> Subscriber:
    @subscribe(ProductAdded)
    def paint(events):
        write_down(events)

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

    def test_takes_nothing_that_another_holds(self, painter, clock):
        announce(added("RED-CHAIR"))
        claim_batch(painter, now=clock())

        assert claim_batch(painter, now=clock()) is None

    def test_takes_over_when_the_lease_has_ended(self, painter, clock):
        announce(added("RED-CHAIR"))
        dead_worker = claim_batch(painter, now=clock())

        clock.advance(seconds=31)
        heir = claim_batch(painter, now=clock())

        assert keys(heir) == ["RED-CHAIR"]
        assert heir.token != dead_worker.token
        assert Delivery.objects.get().attempts == 2

    def test_takes_nothing_before_its_moment(self, painter, clock):
        announce(added("RED-CHAIR"), at=clock() + timedelta(minutes=1))

        assert claim_batch(painter, now=clock()) is None

        clock.advance(seconds=61)
        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_takes_one_batch_at_a_time(self, painter, clock, messaging_settings):
        messaging_settings(batch_size=2)
        announce(*[added(sku) for sku in ("RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE")])

        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR", "BLUE-CHAIR"]
        assert keys(claim_batch(painter, now=clock())) == ["OLD-TABLE"]

    def test_takes_no_more_bytes_than_fit_a_batch_but_always_one(self, painter, clock, monkeypatch):
        monkeypatch.setattr(claims, "BATCH_BYTES", 150)
        announce(added("SMALL", "s"), added("MEDIUM", "m" * 80), added("HUGE", "h" * 500), added("TINY", "t"))

        assert keys(claim_batch(painter, now=clock())) == ["SMALL", "MEDIUM"]
        assert keys(claim_batch(painter, now=clock())) == ["HUGE"]
        assert keys(claim_batch(painter, now=clock())) == ["TINY"]

    @pytest.mark.parametrize("abandoned", [1, 2, 3])
    def test_takes_what_a_worker_died_with_alone(self, painter, clock, abandoned):
        announce(*[added(f"CHAIR-{number}") for number in range(abandoned)])
        claim_batch(painter, now=clock())
        announce(added("HEALTHY-CHAIR"))
        clock.advance(seconds=31)

        claim = [claim_batch(painter, now=clock()) for _ in range(abandoned + 1)]

        assert sorted(map(keys, claim)) == [*([f"CHAIR-{number}"] for number in range(abandoned)), ["HEALTHY-CHAIR"]]

    def test_takes_a_suspect_alone_ever_after(self, painter, clock):
        announce(added("CURSED-CHAIR"))
        claim_batch(painter, now=clock())
        clock.advance(seconds=31)
        suspect = claim_batch(painter, now=clock())
        suspect.update(due_at=clock(), claim_token=None)  # as after a failure that its worker survived
        clock.advance(seconds=1)
        announce(added("HEALTHY-CHAIR"))

        assert keys(claim_batch(painter, now=clock())) == ["HEALTHY-CHAIR"]
        assert keys(claim_batch(painter, now=clock())) == ["CURSED-CHAIR"]

    def test_costs_a_batch_of_200_no_more_statements_than_one_of_2(self, painter, clock):
        statements = {}
        for size in (2, 200):
            announce(*[added(f"CHAIR-{number}-OF-{size}") for number in range(size)])
            with counting_statements() as counted:
                claim = claim_batch(painter, now=clock())
                claim.mark_delivered(clock())
            statements[len(claim.deliveries)] = len(counted)

        assert statements[200] == statements[2]


@pytest.mark.django_db
class TestOrderOfAKey:
    def test_hands_out_one_event_of_a_key_at_a_time(self, painter, clock):
        announce(added("RED-CHAIR", "first"), added("RED-CHAIR", "second"), added("BLUE-CHAIR"))

        first = claim_batch(painter, now=clock())
        assert keys(first) == ["RED-CHAIR", "BLUE-CHAIR"]
        assert claim_batch(painter, now=clock()) is None

        first.mark_delivered(clock())
        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_is_held_by_what_waits_for_its_next_attempt(self, painter, clock):
        announce(added("RED-CHAIR", "first"), added("RED-CHAIR", "second"))
        claim_batch(painter, now=clock()).update(due_at=clock() + timedelta(minutes=5), claim_token=None)

        assert claim_batch(painter, now=clock()) is None

    def test_is_not_held_by_what_is_published_for_later(self, painter, clock):
        announce(added("RED-CHAIR", "later"), at=clock() + timedelta(minutes=5))
        announce(added("RED-CHAIR", "now"))

        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_is_held_by_what_was_published_for_later_once_it_was_tried(self, painter, clock):
        announce(added("RED-CHAIR", "later"), at=clock())
        claim_batch(painter, now=clock()).update(due_at=clock() + timedelta(minutes=5), claim_token=None)
        announce(added("RED-CHAIR", "now"))

        assert claim_batch(painter, now=clock()) is None

    def test_is_kept_when_several_published_for_later_come_due_at_once(self, painter, clock):
        announce(added("RED-CHAIR", "later"), at=clock() + timedelta(seconds=2))
        announce(added("RED-CHAIR", "soon"), at=clock() + timedelta(seconds=1))
        clock.advance(seconds=3)
        announce(added("RED-CHAIR", "now"))

        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_is_not_held_by_a_dead_letter(self, painter, clock):
        announce(added("RED-CHAIR", "first"), added("RED-CHAIR", "second"))
        claim_batch(painter, now=clock()).update(status="dead", claim_token=None)

        assert keys(claim_batch(painter, now=clock())) == ["RED-CHAIR"]

    def test_is_its_own_for_each_subscriber(self, subscribe, painter, clock):
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
        claim_batch(painter, now=clock())
        return late

    def test_is_told_to_who_settles_too_late(self, late, clock):
        with pytest.raises(LeaseLost, match=r"tests.paint still holds 1 of 2 claimed deliveries\."):
            late.mark_delivered(clock())

    def test_is_told_to_who_renews_too_late(self, late, clock):
        with pytest.raises(LeaseLost):
            late.renew(clock())

    def test_spares_who_renewed_in_time(self, painter, clock):
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
    def test_names_those_that_have_something_due_in_one_statement(self, subscribe, painter, clock):
        @subscribe(StockDepleted)
        def varnish(events):
            pass

        announce(added("RED-CHAIR"))
        announce(StockDepleted(sku="RED-CHAIR"), at=clock() + timedelta(minutes=1))

        with counting_statements() as statements:
            assert subscribers_with_work(clock()) == [painter]
        assert len(statements) == 1


@pytest.mark.django_db(transaction=True)
class TestClaimsSideBySide:
    def test_never_take_the_same_delivery(self, painter, clock, messaging_settings):
        messaging_settings(batch_size=5)
        announce(*[added(f"CHAIR-{number}") for number in range(100)])

        def claim_all() -> list[int]:
            return [pk for _ in range(20) for pk in ids(claim_batch(painter, now=clock()))]

        with beside(claim_all) as one, beside(claim_all) as another:
            taken = one.result() + another.result()

        assert len(taken) == len(set(taken))
        assert sorted(taken + [pk for _ in range(20) for pk in ids(claim_batch(painter, now=clock()))]) == sorted(
            Delivery.objects.values_list("pk", flat=True)
        )

    def test_keep_the_order_of_a_key_while_several_relays_deliver(self, painter, clock, messaging_settings):
        messaging_settings(batch_size=2)
        announce(*[added(sku, f"{turn:02}") for turn in range(20) for sku in ("RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE")])

        with beside(Relay(clock=clock).drain), beside(Relay(clock=clock).drain):
            pass

        Relay(clock=clock).drain()
        for sku in ("RED-CHAIR", "BLUE-CHAIR", "OLD-TABLE"):
            assert [text for text in written() if text.startswith(sku)] == [f"{sku} {turn:02}" for turn in range(20)]
