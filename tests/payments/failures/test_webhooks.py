"""
Webhooks that come twice, early or out of order, numbered as in the list of failures.
"""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from messaging import contracts
from messaging.models import Delivery
from payments.charges import services
from payments.gateway.protocol import Money, Outcome
from payments.models import PaymentIntent, WebhookEvent
from payments.webhooks import inbox, processing
from tests.factories import make_stock, place_order
from tests.gateways import LedgerGateway
from tests.journeys.story import letters, place, story
from tests.outbox import announced, published
from tests.payments.scenes import NOON, captured, charge_elsewhere, deliver, given_back, payload_of, payment_requested

pytestmark = pytest.mark.django_db

KEPT = (4_500, "GBP", "", 0)
PARKING = timedelta(seconds=settings.PAYMENTS.webhook_parking_seconds)
A_MOMENT = timedelta(seconds=1)


def webhooks_are() -> list[str]:
    return list(WebhookEvent.objects.order_by("pk").values_list("status", flat=True))


def let_it_be(truth: Outcome, ledger: LedgerGateway, intent: PaymentIntent) -> None:
    """
    Decide at the gateway what became of a charge.
    """
    key = str(intent.pk)
    if truth is Outcome.SUCCEEDED:
        ledger.approve(key)
    elif truth is Outcome.CANCELLED:
        ledger.cancelled.add(key)
    elif truth is Outcome.DECLINED:
        ledger.charges[key] = replace(ledger.charges[key], payment_method="tok_declined")


@pytest.fixture
def waiting(ledger) -> PaymentIntent:
    """
    A payment that waits for its customer.
    """
    services.collect([payment_requested(payment_method="tok_pending")], now=NOON)
    return PaymentIntent.objects.get()


class TestF6TheSameCallbackAgain:
    @pytest.fixture
    def order(self, api, drain, ledger) -> str:
        """
        An order whose money was captured, and the answer lost.
        """
        make_stock()
        order = place(api, payment_method="tok_timeout")
        drain()
        return order

    @pytest.mark.parametrize("ids", [1, 20], ids=["one event", "twenty events"])
    def test_twenty_times_takes_effect_once(self, api, drain, ledger, order, ids):
        claims = [payload_of(PaymentIntent.objects.get()) for _ in range(ids)]

        deliver(ledger, *claims * (20 // ids), now=timezone.now())
        drain()

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (captured(), given_back(), letters()) == ([KEPT], [], ["Your order is confirmed"])
        assert webhooks_are() == ["settled"] * ids
        assert ledger.calls == {"charge": 1, "look_up": 1}

    def test_while_we_ask_takes_effect_once(self, api, drain, ledger, order):
        deliver(ledger, payload_of(PaymentIntent.objects.get()), now=timezone.now())

        drain(after=timedelta(seconds=6))

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (captured(), letters()) == ([KEPT], ["Your order is confirmed"])
        assert announced()["payments.payment_succeeded"] == 1

    def test_with_another_amount_is_refused_and_changes_nothing(self, ledger, waiting):
        told = payload_of(waiting)
        deliver(ledger, told)

        with pytest.raises(inbox.EventIdReused):
            deliver(ledger, replace(told, fingerprint="another", claimed=Money(1, "GBP")))

        kept = WebhookEvent.objects.values("event_id", "amount", "conflicts", "status").get()
        assert kept == {"event_id": told.event_id, "amount": 4_500, "conflicts": 1, "status": "received"}
        waiting.refresh_from_db()
        assert (waiting.status, captured()) == ("processing", [])

    @pytest.mark.parametrize("claimed", [Money(4_499, "GBP"), Money(4_500, "USD")])
    def test_under_another_id_and_with_another_amount_alarms_the_operator_once(self, ledger, waiting, claimed, drain):
        claim = payload_of(waiting, claimed=claimed)
        deliver(ledger, claim, now=timezone.now())
        drain()

        Delivery.objects.replay(timezone.now())
        drain()

        assert published(contracts.PaymentAnomalyFound) == [
            contracts.PaymentAnomalyFound(
                order_id=str(waiting.order_id),
                anomaly="disputed_webhook",
                amount=claimed.amount,
                currency=claimed.currency,
                detail=claim.event_id,
            )
        ]
        assert [dead.error_class for dead in Delivery.objects.dead()] == ["WebhookDisputed"]
        assert (webhooks_are(), ledger.calls) == (["disputed"], {"charge": 1})


class TestF7CalledBackTooEarly:
    def test_it_is_parked_and_settled_as_soon_as_the_payment_is_opened(self, drain, ledger):
        make_stock()
        order = place_order()
        unopened = PaymentIntent(order_id=order.pk, amount=4_500, currency="GBP", created_at=NOON)
        claim = charge_elsewhere(ledger, unopened)
        deliver(ledger, claim, now=timezone.now())
        processing.process([str(WebhookEvent.objects.get().pk)], now=timezone.now())
        assert webhooks_are() == ["parked"]

        drain(after=A_MOMENT)

        assert webhooks_are() == ["settled"]
        assert captured() in ([KEPT, (4_500, "GBP", "surplus", 4_500)], [(4_500, "GBP", "surplus", 4_500), KEPT])
        order.refresh_from_db()
        assert (order.status, order.refunded) == ("confirmed", 0)

    def test_it_is_asked_about_no_more_when_its_parking_is_over(self, drain, ledger):
        asked = payment_requested(payment_method="tok_pending")
        unopened = PaymentIntent(order_id=asked.order_id, amount=4_500, currency="GBP", created_at=NOON)
        deliver(ledger, payload_of(unopened, Outcome.PROCESSING), now=timezone.now())
        drain()
        services.collect([asked], now=timezone.now())
        drain()

        drain(after=PARKING + A_MOMENT)

        assert webhooks_are() == ["settled"]
        assert not Delivery.objects.dead().exists()

    def test_it_is_a_dead_letter_when_its_parking_is_over_and_nothing_was_opened(self, drain, ledger):
        stranger = PaymentIntent(order_id=uuid4(), amount=4_500, currency="GBP", created_at=NOON)
        deliver(ledger, payload_of(stranger), now=timezone.now())

        drain(after=PARKING - A_MOMENT)
        assert (webhooks_are(), Delivery.objects.dead().count()) == (["parked"], 0)

        drain(after=PARKING + A_MOMENT)
        (dead,) = Delivery.objects.dead()
        assert (dead.subscriber, dead.error_class, dead.attempts) == ("payments.settle_webhook", "WebhookUnmatched", 1)
        assert (webhooks_are(), ledger.calls) == (["parked"], {})

    def test_it_is_heard_when_a_person_replays_it_after_all(self, drain, ledger):
        asked = payment_requested(payment_method="tok_pending")
        stranger = PaymentIntent(order_id=asked.order_id, amount=4_500, currency="GBP", created_at=NOON)
        deliver(ledger, payload_of(stranger, Outcome.DECLINED), now=timezone.now())
        drain(after=PARKING + A_MOMENT)
        services.settle_overdue({asked.order_id: services.Due(4_500, "GBP", "17")}, now=NOON)

        Delivery.objects.replay(timezone.now())
        drain(after=PARKING + A_MOMENT)

        assert webhooks_are() == ["settled"]
        assert not Delivery.objects.dead().exists()


class TestF8OutOfOrder:
    CLAIMS = (Outcome.PROCESSING, Outcome.DECLINED, Outcome.SUCCEEDED, Outcome.CANCELLED)
    ENDS = {
        Outcome.SUCCEEDED: ("succeeded", {"payments.payment_succeeded": 1}),
        Outcome.DECLINED: ("failed", {"payments.payment_failed": 1}),
        Outcome.CANCELLED: ("cancelled", {"payments.payment_failed": 1}),
        Outcome.PROCESSING: ("processing", {}),
    }

    @pytest.mark.parametrize("claims", list(permutations(CLAIMS)), ids=lambda claims: "-".join(it[:4] for it in claims))
    @pytest.mark.parametrize("truth", ENDS)
    def test_claims_end_as_the_gateway_says(self, ledger, waiting, claims, truth):
        let_it_be(truth, ledger, waiting)

        for outcome in claims:
            deliver(ledger, payload_of(waiting, outcome))
            processing.process([str(WebhookEvent.objects.latest("pk").pk)], now=NOON)

        waiting.refresh_from_db()
        told = announced()
        assert told.pop("payments.webhook_received") == len(claims)
        assert (waiting.status, told) == self.ENDS[truth]
        assert captured() == ([KEPT] if truth is Outcome.SUCCEEDED else [])

    @pytest.mark.parametrize("late", CLAIMS)
    def test_a_late_one_revives_no_payment_that_went_back(self, ledger, waiting, drain, late):
        ledger.approve(str(waiting.pk))
        deliver(ledger, payload_of(waiting), now=timezone.now())
        drain()
        services.stop({str(waiting.order_id): services.Due(4_500, "GBP", "17")}, now=NOON)
        drain()

        deliver(ledger, payload_of(waiting, late), now=timezone.now())
        drain()

        assert captured() == [(4_500, "GBP", "", 4_500)]
        assert given_back() == [(4_500, "succeeded", "order cancelled")]
        assert announced()["payments.payment_succeeded"] == 1
