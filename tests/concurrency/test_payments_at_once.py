"""
Webhooks, refunds, openings and expiries that meet: each in a thread with a connection of its own.
"""

from collections import Counter
from functools import partial
from threading import Event

import pytest
from django.db import transaction
from django.utils import timezone

from messaging import contracts
from payments import refunds
from payments.charges import services
from payments.models import PaymentIntent, Refund, WebhookEvent
from payments.refunds import RefundExceedsCapture
from payments.webhooks import processing
from tests.concurrency.crowd import at_once, workers
from tests.gateways import LedgerGateway
from tests.outbox import announced, published
from tests.payments.scenes import NOON, call_back, captured, charge_again, claim_of, given_back
from tests.payments.test_services import request, wanted

pytestmark = pytest.mark.django_db(transaction=True)

KEPT, RETURNED = (4_500, "GBP", "", 0), (4_500, "GBP", "", 4_500)
SURPLUS = (4_500, "GBP", "surplus", 4_500)
IN_HASTE = 0.3
"""Seconds in which somebody who does not wait for his turn is done."""

ENDS = {"succeeded": ([(4_500, 0)], [], 1), "cancelled": ([(4_500, 4_500)], ["expired"], 0)}


def pending() -> tuple[contracts.PaymentRequested, PaymentIntent]:
    """
    Ask for a payment that waits for its customer.
    """
    asked = request(payment_method="tok_pending")
    services.collect([asked], now=NOON)
    return asked, PaymentIntent.objects.get(order_id=asked.order_id)


def story_of(intent: PaymentIntent) -> tuple[list[tuple[int, bool]], list[str], int]:
    """
    Tell what of a payment's money went back, why it failed if it did, and how often it succeeded.
    """
    order_id = str(intent.order_id)
    failures = [it.reason for it in published(contracts.PaymentFailed) if it.order_id == order_id]
    successes = [it for it in published(contracts.PaymentSucceeded) if it.order_id == order_id]
    return list(intent.captures.values_list("amount", "returned")), failures, len(successes)


def pay_and_call_back(ledger: LedgerGateway, intent: PaymentIntent) -> None:
    """
    Have the gateway call back, and the customer agree before we ask what became of that.
    """
    claim = claim_of(intent)
    call_back(ledger, claim)
    ledger.approve(str(intent.pk))
    settle(str(WebhookEvent.objects.get(event_id=claim.event_id).pk))


def called_back_too_early(ledger: LedgerGateway) -> contracts.PaymentRequested:
    """
    Have the gateway call back about a charge for an order whose payment will be opened only now.
    """
    asked = request()
    unopened = PaymentIntent(order_id=asked.order_id, amount=4_500, currency="GBP", created_at=NOON)
    call_back(ledger, charge_again(ledger, unopened, key=f"second-of-{asked.order_id}"), now=timezone.now())
    return asked


def settle(*webhook_ids: str) -> None:
    processing.process(webhook_ids, now=NOON)


def settle_latest() -> None:
    settle(str(WebhookEvent.objects.latest("pk").pk))


class TestWebhooks:
    def test_twenty_equal_ones_are_one_event_and_one_capture(self, ledger):
        _, intent = pending()
        ledger.approve(str(intent.pk))
        claim = claim_of(intent)

        answers = at_once(*[partial(call_back, ledger, claim)] * 20)
        with workers(3):
            pass

        assert answers == [None] * 20
        assert WebhookEvent.objects.values_list("event_id", "status").get() == (claim.event_id, "settled")
        assert (captured(), announced()) == ([KEPT], {"payments.payment_succeeded": 1, "payments.webhook_received": 1})

    def test_twenty_different_ones_settle_their_payment_once(self, ledger):
        _, intent = pending()
        ledger.approve(str(intent.pk))
        call_back(ledger, *[claim_of(intent) for _ in range(20)])

        ids = map(str, WebhookEvent.objects.values_list("pk", flat=True))
        answers = at_once(*[partial(settle, webhook_id) for webhook_id in ids])

        assert answers == [None] * 20
        assert (captured(), len(published(contracts.PaymentSucceeded))) == ([KEPT], 1)
        assert not WebhookEvent.objects.exclude(status="settled").exists()

    def test_one_and_our_own_ask_settle_the_payment_once(self, ledger):
        for _ in range(10):
            asked = request(payment_method="tok_timeout")
            services.collect([asked], now=NOON)
            call_back(ledger, claim_of(PaymentIntent.objects.get(order_id=asked.order_id)))

            answers = at_once(settle_latest, partial(services.ask_again, {asked.order_id: 1}, now=NOON))

            assert answers == [None, None]
        assert (captured(), len(published(contracts.PaymentSucceeded))) == ([KEPT] * 10, 10)

    def test_two_of_a_second_charge_give_it_back_once(self, ledger):
        services.collect([request()], now=NOON)
        second = charge_again(ledger, PaymentIntent.objects.get())
        call_back(
            ledger, second, claim_of(PaymentIntent.objects.get(), charge_key="second", reference=second.reference)
        )
        ids = [str(pk) for pk in WebhookEvent.objects.values_list("pk", flat=True)]

        answers = at_once(*[partial(settle, webhook_id) for webhook_id in ids])

        assert answers == [None, None]
        assert captured() == [KEPT, SURPLUS]
        assert given_back() == [(4_500, "pending", "paid twice")]


class TestRefunds:
    def test_of_two_of_60_on_100_one_is_refused(self, ledger):
        for _ in range(10):
            asked = request(amount=100)
            services.collect([asked], now=NOON)
            give_back = partial(refunds.refund, asked.order_id, amount=60, reason="a scratch", now=NOON)

            answers = at_once(give_back, give_back)

            assert {type(answer) for answer in answers} == {list, RefundExceedsCapture}
        assert captured() == [(100, "GBP", "", 60)] * 10
        assert Refund.objects.count() == 10

    def test_of_all_that_is_left_and_for_a_cancelled_order_give_it_back_once(self, ledger):
        asked = request()
        services.collect([asked], now=NOON)

        at_once(
            partial(refunds.refund, asked.order_id, reason="by the shop", now=NOON),
            partial(services.stop, wanted(asked), now=NOON),
        )

        assert captured() == [RETURNED]
        assert [(amount, status) for amount, status, _ in given_back()] == [(4_500, "pending")]


class TestAnOpening:
    def test_races_with_its_webhook_and_loses_it_never(self, ledger, drain):
        for _ in range(10):
            asked = called_back_too_early(ledger)

            answers = at_once(settle_latest, partial(services.collect, [asked], now=NOON))

            assert answers == [None, None]
        drain()

        assert not WebhookEvent.objects.exclude(status="settled").exists()
        assert sorted(captured()) == sorted([KEPT, SURPLUS] * 10)

    def test_is_waited_for_before_its_webhook_is_parked(self, ledger):
        asked, opened, parked = called_back_too_early(ledger), Event(), Event()

        def open_slowly() -> None:
            with transaction.atomic():
                services.collect([asked], now=NOON)
                opened.set()
                parked.wait(IN_HASTE)

        def park() -> None:
            opened.wait(20)
            settle_latest()
            parked.set()

        assert at_once(open_slowly, park) == [None, None]
        assert WebhookEvent.objects.get().status == "settled"

    def test_waits_for_its_webhook_that_is_being_parked(self, ledger, drain):
        asked, opened, parked = called_back_too_early(ledger), Event(), Event()

        def park_slowly() -> None:
            with transaction.atomic():
                settle_latest()
                parked.set()
                opened.wait(IN_HASTE)

        def open_() -> None:
            parked.wait(20)
            services.collect([asked], now=NOON)
            opened.set()

        assert at_once(park_slowly, open_) == [None, None]
        assert WebhookEvent.objects.get().status == "parked"
        drain()
        assert WebhookEvent.objects.get().status == "settled"


class TestExpiry:
    def test_and_a_success_agree_on_one_end_fifty_times(self, ledger, tell):
        ends = Counter()
        for race in range(50):
            asked, intent = pending()
            expire = partial(services.settle_overdue, wanted(asked), now=NOON)
            start = [expire, partial(pay_and_call_back, ledger, intent)]

            answers = at_once(*start[:: 1 if race % 2 else -1])

            assert answers == [None, None]
            intent.refresh_from_db()
            ends[intent.status] += 1
            assert story_of(intent) == ENDS[intent.status]
        tell(f"expiry against success: {dict(ends)}")
        assert ends.total() == 50

    def test_and_a_cancelled_order_leave_no_money_with_us(self, ledger):
        for _ in range(10):
            asked, intent = pending()

            answers = at_once(
                partial(services.settle_overdue, wanted(asked), now=NOON),
                partial(services.stop, wanted(asked), now=NOON),
                partial(pay_and_call_back, ledger, intent),
            )

            assert answers == [None, None, None]
        with workers(2):
            pass
        assert not PaymentIntent.objects.filter(status__in=PaymentIntent.OPEN).exists()
        assert captured() == [RETURNED] * 10
        assert {status for _, status, _ in given_back()} == {"succeeded"}
