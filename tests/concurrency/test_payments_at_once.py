"""Webhooks, refunds, openings and expiries at the same moment, each in a thread with a connection of its own."""

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
from tests.gateways import RecordingGateway
from tests.outbox import announced, published
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows
from tests.payments.scenes import (
    NOON,
    charge_elsewhere,
    deliver,
    dues_of,
    payload_of,
    payment_requested,
    unopened_intent,
)
from tests.threads import at_once, workers

pytestmark = pytest.mark.django_db(transaction=True)

KEPT, RETURNED = CaptureRow(4_500), CaptureRow(4_500, returned=4_500)
SURPLUS = CaptureRow(4_500, surplus=True, returned=4_500)
OVERTAKE_SECONDS = 0.3
"""Enough for the other thread to overtake, if no lock stops it."""

ENDS = {"succeeded": ([(4_500, 0)], [], 1), "cancelled": ([(4_500, 4_500)], ["expired"], 0)}


def pending() -> tuple[contracts.PaymentRequested, PaymentIntent]:
    """Open a payment that waits for its customer."""
    requested = payment_requested(payment_method="tok_pending")
    services.collect([requested], now=NOON)
    return requested, PaymentIntent.objects.get(order_id=requested.order_id)


def end_of(intent: PaymentIntent) -> tuple[list[tuple[int, bool]], list[str], int]:
    """Return the refunded amounts of a payment, the reasons of its failures, and how often it succeeded."""
    order_id = str(intent.order_id)
    failures = [it.reason for it in published(contracts.PaymentFailed) if it.order_id == order_id]
    successes = [it for it in published(contracts.PaymentSucceeded) if it.order_id == order_id]
    return list(intent.captures.values_list("amount", "returned")), failures, len(successes)


def pay_and_call_back(ledger: RecordingGateway, intent: PaymentIntent) -> None:
    """Receive a callback, and let the customer approve the charge before we query it."""
    claim = payload_of(intent)
    deliver(claim)
    ledger.approve(str(intent.pk))
    settle(str(WebhookEvent.objects.get(event_id=claim.event_id).pk))


def called_back_too_early(ledger: RecordingGateway) -> contracts.PaymentRequested:
    """Receive a callback for an order whose payment is not open yet."""
    requested = payment_requested()
    unopened = unopened_intent(order_id=requested.order_id)
    deliver(charge_elsewhere(ledger, unopened, key=f"second-of-{requested.order_id}"), now=timezone.now())
    return requested


def settle(*webhook_ids: str) -> None:
    processing.process(webhook_ids, now=NOON)


def settle_latest() -> None:
    settle(str(WebhookEvent.objects.latest("pk").pk))


class TestWebhooks:
    def test_twenty_equal_ones_are_one_event_and_one_capture(self, ledger):
        _, intent = pending()
        ledger.approve(str(intent.pk))
        claim = payload_of(intent)

        answers = at_once(*[partial(deliver, claim)] * 20)
        with workers(3):
            pass

        assert answers == [None] * 20
        assert WebhookEvent.objects.values_list("event_id", "status").get() == (claim.event_id, "settled")
        assert (capture_rows(), announced()) == (
            [KEPT],
            {"payments.payment_succeeded": 1, "payments.webhook_received": 1},
        )

    def test_twenty_different_ones_settle_their_payment_once(self, ledger):
        _, intent = pending()
        ledger.approve(str(intent.pk))
        deliver(*[payload_of(intent) for _ in range(20)])

        ids = map(str, WebhookEvent.objects.values_list("pk", flat=True))
        answers = at_once(*[partial(settle, webhook_id) for webhook_id in ids])

        assert answers == [None] * 20
        assert (capture_rows(), len(published(contracts.PaymentSucceeded))) == ([KEPT], 1)
        assert not WebhookEvent.objects.exclude(status="settled").exists()

    def test_one_and_our_own_ask_settle_the_payment_once(self, ledger):
        for _ in range(10):
            requested = payment_requested(payment_method="tok_timeout")
            services.collect([requested], now=NOON)
            deliver(payload_of(PaymentIntent.objects.get(order_id=requested.order_id)))

            answers = at_once(settle_latest, partial(services.ask_again, {requested.order_id: 1}, now=NOON))

            assert answers == [None, None]
        assert (capture_rows(), len(published(contracts.PaymentSucceeded))) == ([KEPT] * 10, 10)

    def test_two_of_a_second_charge_give_it_back_once(self, ledger):
        services.collect([payment_requested()], now=NOON)
        second = charge_elsewhere(ledger, PaymentIntent.objects.get())
        deliver(second, payload_of(PaymentIntent.objects.get(), charge_key="second", reference=second.reference))
        ids = [str(pk) for pk in WebhookEvent.objects.values_list("pk", flat=True)]

        answers = at_once(*[partial(settle, webhook_id) for webhook_id in ids])

        assert answers == [None, None]
        assert capture_rows() == [KEPT, SURPLUS]
        assert refund_rows() == [RefundRow(4_500, "pending", "paid twice")]


class TestRefunds:
    def test_of_two_of_60_on_100_one_is_refused(self, ledger):
        for _ in range(10):
            requested = payment_requested(amount=100)
            services.collect([requested], now=NOON)
            give_back = partial(refunds.refund, requested.order_id, amount=60, reason="a scratch", now=NOON)

            answers = at_once(give_back, give_back)

            assert {type(answer) for answer in answers} == {list, RefundExceedsCapture}
        assert capture_rows() == [CaptureRow(100, returned=60)] * 10
        assert Refund.objects.count() == 10

    def test_of_the_rest_and_for_a_cancelled_order_refund_it_once(self, ledger):
        requested = payment_requested()
        services.collect([requested], now=NOON)

        at_once(
            partial(refunds.refund, requested.order_id, reason="by the shop", now=NOON),
            partial(services.stop, dues_of(requested), now=NOON),
        )

        assert capture_rows() == [RETURNED]
        assert [(it.amount, it.status) for it in refund_rows()] == [(4_500, "pending")]


class TestOpening:
    def test_that_races_with_its_webhook_never_loses_it(self, ledger, drain):
        for _ in range(10):
            requested = called_back_too_early(ledger)

            answers = at_once(settle_latest, partial(services.collect, [requested], now=NOON))

            assert answers == [None, None]
        drain()

        assert not WebhookEvent.objects.exclude(status="settled").exists()
        assert sorted(capture_rows()) == sorted([KEPT, SURPLUS] * 10)

    def test_is_finished_before_its_webhook_is_parked(self, ledger):
        requested, opened, parked = called_back_too_early(ledger), Event(), Event()

        def open_slowly() -> None:
            with transaction.atomic():
                services.collect([requested], now=NOON)
                opened.set()
                parked.wait(OVERTAKE_SECONDS)

        def park() -> None:
            opened.wait(20)
            settle_latest()
            parked.set()

        assert at_once(open_slowly, park) == [None, None]
        assert WebhookEvent.objects.get().status == "settled"

    def test_waits_while_its_webhook_is_parked(self, ledger, drain):
        requested, opened, parked = called_back_too_early(ledger), Event(), Event()

        def park_slowly() -> None:
            with transaction.atomic():
                settle_latest()
                parked.set()
                opened.wait(OVERTAKE_SECONDS)

        def open_() -> None:
            parked.wait(20)
            services.collect([requested], now=NOON)
            opened.set()

        assert at_once(park_slowly, open_) == [None, None]
        assert WebhookEvent.objects.get().status == "parked"
        drain()
        assert WebhookEvent.objects.get().status == "settled"


class TestExpiry:
    def test_and_a_success_agree_on_one_end_fifty_times(self, ledger, summarize):
        ends = Counter()
        for race in range(50):
            requested, intent = pending()
            expire = partial(services.settle_overdue, dues_of(requested), now=NOON)
            start = [expire, partial(pay_and_call_back, ledger, intent)]

            answers = at_once(*start[:: 1 if race % 2 else -1])

            assert answers == [None, None]
            intent.refresh_from_db()
            ends[intent.status] += 1
            assert end_of(intent) == ENDS[intent.status]
        summarize(f"expiry against success: {dict(ends)}")
        assert ends.total() == 50

    def test_and_a_cancelled_order_refund_all_money(self, ledger):
        for _ in range(10):
            requested, intent = pending()

            answers = at_once(
                partial(services.settle_overdue, dues_of(requested), now=NOON),
                partial(services.stop, dues_of(requested), now=NOON),
                partial(pay_and_call_back, ledger, intent),
            )

            assert answers == [None, None, None]
        with workers(2):
            pass
        assert not PaymentIntent.objects.filter(status__in=PaymentIntent.OPEN).exists()
        assert capture_rows() == [RETURNED] * 10
        assert {it.status for it in refund_rows()} == {"succeeded"}
