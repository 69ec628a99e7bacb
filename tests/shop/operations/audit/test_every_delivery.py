"""
The audit finds no violation after any single delivery, and does not block writers.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from inventory.models import StockItem
from messaging.backoff import MAX_DEFERRALS
from messaging.claims import Claim
from messaging.models import Delivery
from messaging.relay import Relay
from orders.models import Order
from shop.operations import audit
from shop.operations.databases import snapshot
from tests.factories import make_stock, place_order
from tests.shop.operations.audit.day import HOUR, cancel, give_back, violated
from tests.threads import at_once


class AuditedRelay(Relay):
    """
    A relay that audits after every delivery.
    """

    def _deliver(self, claim: Claim) -> None:
        super()._deliver(claim)
        assert violated() == [], f"after {claim.subscriber.name} got {claim.messages}"


@pytest.fixture
def drain_audited(settings) -> Callable[..., None]:
    """
    Deliver everything due, one delivery at a time, with an audit after each.
    """
    settings.MESSAGING = replace(settings.MESSAGING, batch_size=1)

    def deliver(*, after: timedelta = timedelta(), rounds: int | None = None) -> None:
        assert violated() == []
        relay = AuditedRelay(clock=lambda: timezone.now() + after)
        while rounds != 0 and relay.deliver_due():
            rounds = rounds and rounds - 1

    return deliver


@pytest.mark.django_db
class TestAuditFindsNoViolationWhen:
    @pytest.fixture(autouse=True)
    def _chairs(self):
        make_stock(3)

    def test_orders_are_confirmed(self, drain_audited):
        orders = [place_order({"RED-CHAIR": 2}).pk, place_order().pk]

        drain_audited()

        assert set(Order.objects.filter(pk__in=orders).values_list("status", flat=True)) == {"confirmed"}
        assert audit.run(now=timezone.now()).verdict is audit.Verdict.OK

    @pytest.mark.parametrize(
        ("items", "token", "end"),
        [
            ({"GIFT": 1}, "tok_visa", ("confirmed", "")),
            ({"RED-CHAIR": 1}, "tok_timeout", ("confirmed", "")),
            ({"RED-CHAIR": 1, "OAK-TABLE": 2}, "tok_visa", ("cancelled", "out_of_stock")),
            ({"RED-CHAIR": 1}, "tok_declined", ("cancelled", "payment_failed")),
            ({"RED-CHAIR": 1}, "tok_pending", ("cancelled", "expired")),
        ],
    )
    def test_an_order_ends(self, drain_audited, ledger, items, token, end):
        make_stock(1, sku="OAK-TABLE")
        make_stock(1, sku="GIFT", price=0)
        place_order(items, payment_method=token)

        drain_audited()
        drain_audited(after=HOUR)

        assert Order.objects.values_list("status", "cancel_reason").get() == end

    def test_a_customer_cancels_at_once(self, drain_audited):
        cancel(place_order())

        drain_audited()

        assert not Order.objects.get().history.filter(status="awaiting_payment").exists()

    @pytest.mark.parametrize(
        ("token", "rounds", "refunds"),
        [("tok_visa", 2, 1), ("tok_visa", 3, 1), ("tok_pending", 3, 0), ("tok_timeout", 3, 1)],
    )
    def test_a_customer_cancels_while_paying(self, drain_audited, ledger, token, rounds, refunds):
        order = place_order(payment_method=token)
        drain_audited(rounds=rounds)
        cancel(order)

        drain_audited()
        drain_audited(after=HOUR)

        assert Order.objects.get().status == "cancelled"
        assert len(ledger.refunded) == refunds

    def test_the_gateway_does_not_decide_on_an_overdue_payment_for_a_day(self, drain, ledger, monkeypatch):
        place_order(payment_method="tok_pending")
        drain()
        expiry = Delivery.objects.filter(subscriber="payments.settle_overdue")
        with monkeypatch.context() as undecided:
            undecided.setattr(ledger, "cancel", ledger.look_up)

            drain(after=HOUR)
            drain(after=6 * HOUR)
            assert (expiry.get().status, violated(after=6 * HOUR)) == ("pending", [])

            expiry.update(deferrals=MAX_DEFERRALS)
            drain(after=24 * HOUR)
            assert (expiry.get().status, violated(after=24 * HOUR)) == ("dead", [])

        Delivery.objects.replay(timezone.now())
        drain(after=24 * HOUR)
        assert (Order.objects.get().cancel_reason, violated(after=24 * HOUR)) == ("expired", [])

    def test_money_is_refunded(self, drain_audited, ledger):
        order = place_order({"RED-CHAIR": 2})
        drain_audited()

        give_back(order, 1_000)
        drain_audited()
        give_back(order, 8_000)
        drain_audited()

        assert Order.objects.get().status == "refunded"


@pytest.mark.django_db(transaction=True)
class TestSnapshot:
    def test_shows_one_state_while_others_write(self):
        make_stock(10)

        with snapshot():
            before = StockItem.objects.get().on_hand
            assert at_once(lambda: StockItem.objects.update(on_hand=11)) == [1]
            after = StockItem.objects.get().on_hand

        assert (before, after) == (10, 10)
        assert StockItem.objects.get().on_hand == 11

    def test_discards_writes(self):
        make_stock(10)

        with suppress(DatabaseError), snapshot():
            StockItem.objects.update(on_hand=11)

        assert StockItem.objects.get().on_hand == 10
