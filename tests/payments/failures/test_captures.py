"""
Money that comes late, unheard of, or otherwise than was asked for, numbered as in the list of failures.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.backoff import MAX_DEFERRALS
from messaging.models import Delivery
from payments.gateway.protocol import Answer, ChargeRequest, Money, Outcome, TimedOut, Unreachable
from payments.models import PaymentIntent, WebhookEvent
from tests.factories import make_stock
from tests.gateways import LedgerGateway
from tests.journeys.story import letters, place, shelf, story
from tests.payments.scenes import capture_other_amount, captured, deliver, given_back, payload_of

pytestmark = pytest.mark.django_db

DUE = timedelta(minutes=16)
LEASE_OVER = timedelta(minutes=1)
KEPT, RETURNED = (4_500, "GBP", "", 0), (4_500, "GBP", "", 4_500)
GIVEN_BACK = (4_500, "succeeded", "paid when the order was over")


def tell(ledger: LedgerGateway, intent: PaymentIntent, **changes: object) -> None:
    deliver(ledger, payload_of(intent, **changes), now=timezone.now())


def become(gateway: LedgerGateway, monkeypatch) -> LedgerGateway:
    monkeypatch.setattr("payments.gateway.protocol.current", lambda: gateway)
    return gateway


@pytest.fixture
def pending(api, drain, ledger) -> tuple[str, PaymentIntent]:
    """
    An order of the last red chair that waits for its customer to agree, and its payment.
    """
    make_stock(1)
    order = place(api, payment_method="tok_pending")
    drain()
    return order, PaymentIntent.objects.get()


class TestF3PaidAfterItExpired:
    @pytest.fixture
    def too_late(self, api, drain, ledger, pending) -> tuple[str, PaymentIntent]:
        """
        The order has expired, its chair is sold to another customer, and now the first one pays.
        """
        order, intent = pending
        drain(after=DUE)
        assert story(api, order)[-1] == "expired"
        assert story(api, place(api)) == ["placed"]
        drain()
        ledger.approve(str(intent.pk))
        return order, intent

    def assert_given_back_once(self, api, order: str) -> None:
        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "expired"]
        assert api.get(order).json()["refunded"] == 4_500
        assert shelf() == (0, 0)
        assert captured() == [KEPT, RETURNED]
        assert given_back() == [GIVEN_BACK]

    def test_the_order_stays_expired_and_the_money_goes_back(self, api, drain, ledger, too_late):
        order, intent = too_late

        tell(ledger, intent)
        drain()

        self.assert_given_back_once(api, order)
        assert [it.charge_reference for it in ledger.refunded.values()] == [f"instant-{intent.pk}"]
        assert sorted(letters()) == [
            "A refund for your order",
            "Money came for an order that was over:",
            "Your order is cancelled",
            "Your order is confirmed",
            "Your order still awaits its payment",
        ]

    def test_however_often_the_gateway_says_so(self, api, drain, ledger, too_late):
        order, intent = too_late
        claim = payload_of(intent)

        deliver(ledger, claim, claim, now=timezone.now())
        drain()
        deliver(ledger, claim, payload_of(intent), now=timezone.now())
        drain()

        self.assert_given_back_once(api, order)
        assert len(ledger.refunded) == 1
        assert letters().count("A refund for your order") == 1
        assert letters().count("Money came for an order that was over:") == 1

    @pytest.mark.parametrize("deaths", [1, 2], ids=["while it is asked", "and while it gives back"])
    def test_though_workers_die_over_it(self, api, drain, ledger, too_late, deaths):
        order, intent = too_late
        tell(ledger, intent)

        for death in range(deaths):
            ledger.script.append(KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                drain(after=death * LEASE_OVER)
        drain(after=deaths * LEASE_OVER)

        self.assert_given_back_once(api, order)
        assert len(ledger.refunded) == 1

    def test_money_that_is_only_held_is_let_go_instead(self, api, drain, ledger, pending):
        order, intent = pending
        drain(after=DUE)
        ledger.cancelled.clear()

        tell(ledger, intent, outcome=Outcome.PROCESSING)
        drain()

        assert story(api, order)[-1] == "expired"
        assert ledger.cancelled == {str(intent.pk)}
        assert (captured(), given_back(), ledger.refunded) == ([], [], {})


class TestF4ExpiryOfAnOrderThatIsPaid:
    def test_an_order_is_confirmed_though_the_gateway_never_called_back(self, api, drain, ledger, pending):
        order, intent = pending
        ledger.approve(str(intent.pk))

        drain(after=DUE)

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (captured(), given_back(), shelf()) == ([KEPT], [], (0, 0))
        assert not WebhookEvent.objects.exists()

    @pytest.mark.parametrize("silence", [Unreachable("no route"), TimedOut("no answer")], ids=["away", "silent"])
    def test_a_gateway_that_cannot_say_delays_it_until_a_person_has_to_look(self, api, drain, ledger, pending, silence):
        order, intent = pending
        ledger.script.extend([silence] * 2)
        drain(after=DUE)
        expiry = Delivery.objects.filter(subscriber="payments.settle_overdue")
        assert expiry.values_list("status", "deferrals").get() == ("pending", 1)
        assert story(api, order) == ["placed", "awaiting_payment"]

        expiry.update(deferrals=MAX_DEFERRALS)
        drain(after=2 * DUE)

        assert expiry.values_list("status", "error_class").get() == ("dead", "PartlyUnavailable")
        assert (story(api, order), shelf()) == (["placed", "awaiting_payment"], (1, 1))
        ledger.approve(str(intent.pk))
        Delivery.objects.replay(timezone.now())
        drain()
        assert story(api, order)[-1] == "confirmed"


class DyingLedger(LedgerGateway):
    """
    Whoever makes the first charge dies before he hears the answer.
    """

    def charge(self, charge: ChargeRequest) -> Answer:
        answer = super().charge(charge)
        if self.calls["charge"] == 1:
            raise KeyboardInterrupt
        return answer


class TestF17ChargedByAProcessThatDied:
    @pytest.fixture
    def dead(self, api, drain, monkeypatch) -> tuple[str, LedgerGateway]:
        gateway = become(DyingLedger(), monkeypatch)
        make_stock(1)
        order = place(api)
        with pytest.raises(KeyboardInterrupt):
            drain()
        assert (len(gateway.captured), captured()) == (1, [])
        return order, gateway

    def test_the_charge_is_made_again_by_the_key_that_was_stored_before(self, api, drain, dead):
        order, gateway = dead

        drain(after=LEASE_OVER)

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert gateway.calls["charge"] == 2
        assert list(gateway.captured) == [str(PaymentIntent.objects.get().pk)]
        assert captured() == [KEPT]

    def test_the_gateway_tells_of_it_first(self, api, drain, dead):
        order, gateway = dead

        tell(gateway, PaymentIntent.objects.get())
        drain()
        drain(after=LEASE_OVER)

        assert story(api, order) == ["placed", "awaiting_payment", "confirmed"]
        assert (gateway.calls["charge"], captured()) == (1, [KEPT])


class WrongLedger(LedgerGateway):
    """
    Captures something else than it is asked for.
    """

    def __init__(self, **instead: object) -> None:
        super().__init__()
        self.instead = instead

    def charge(self, charge: ChargeRequest) -> Answer:
        return super().charge(replace(charge, **self.instead))


class TestF19PaidSomethingElse:
    @pytest.mark.parametrize("instead", [{"amount": 4_499}, {"amount": 4_501}, {"currency": "USD"}])
    def test_the_order_is_given_up_and_the_money_goes_back(self, api, drain, monkeypatch, instead):
        gateway = become(WrongLedger(**instead), monkeypatch)
        make_stock(1)
        order = place(api)

        drain()

        money = {"amount": 4_500, "currency": "GBP"} | instead
        assert story(api, order) == ["placed", "awaiting_payment", "cancelled", "payment_failed"]
        assert (api.get(order).json()["refunded"], shelf()) == (0, (1, 0))
        assert captured() == [(money["amount"], money["currency"], "surplus", money["amount"])]
        assert [(it.amount, it.currency) for it in gateway.refunded.values()] == [(money["amount"], money["currency"])]
        assert "Another amount was paid than an order costs:" in letters()
        assert letters().count("A refund for your order") == 1

    def test_a_webhook_that_says_so_waits_for_the_deadline(self, api, drain, ledger, pending):
        order, intent = pending
        capture_other_amount(ledger, intent, 4_000)

        tell(ledger, intent, claimed=Money(4_000, "GBP"))
        drain()
        disputed = Delivery.objects.dead().values_list("subscriber", "error_class").get()
        assert disputed == ("payments.settle_webhook", "WebhookDisputed")
        assert (story(api, order), captured()) == (["placed", "awaiting_payment"], [])
        assert letters() == ["A webhook claims another amount than an order costs:"]

        drain(after=DUE)
        Delivery.objects.replay(timezone.now())
        drain()
        assert story(api, order)[-2:] == ["cancelled", "payment_failed"]
        assert (captured(), len(ledger.refunded)) == ([(4_000, "GBP", "surplus", 4_000)], 1)
        assert WebhookEvent.objects.get().status == "settled"
        assert letters().count("A webhook claims another amount than an order costs:") == 1
