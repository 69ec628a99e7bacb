from itertools import product
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from messaging.kernel.state_machine import InvalidTransition
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent
from tests.payments.scenes import unopened_intent

pytestmark = pytest.mark.django_db

ALLOWED = {
    ("created", "processing"),
    ("created", "cancelled"),
    ("processing", "succeeded"),
    ("processing", "failed"),
    ("processing", "cancelled"),
    ("processing", "unknown"),
    ("unknown", "succeeded"),
    ("unknown", "failed"),
    ("unknown", "cancelled"),
    ("unknown", "processing"),
}
FORBIDDEN = sorted(set(product(PaymentIntent.Status.values, repeat=2)) - ALLOWED)

ALLOWED_OF_REFUNDS = {
    ("pending", "unknown"),
    ("pending", "succeeded"),
    ("pending", "failed"),
    ("unknown", "succeeded"),
    ("unknown", "failed"),
}
FORBIDDEN_OF_REFUNDS = sorted(set(product(Refund.Status.values, repeat=2)) - ALLOWED_OF_REFUNDS)


def intent_that_is(status: str, **changes: object) -> PaymentIntent:
    intent = unopened_intent(status=status, **changes)
    intent.save(force_insert=True)
    return intent


def capture_of(intent: PaymentIntent, **changes: object) -> Capture:
    fields = {"reference": "ch_1", "amount": 4_500, "currency": "GBP", "captured_at": timezone.now()}
    return Capture.objects.create(intent=intent, **fields | changes)


def refund_that_is(status: str) -> Refund:
    return refund_of(
        capture_of(intent_that_is("succeeded")),
        status=status,
        settled_at=None if status in Refund.OPEN else timezone.now(),
    )


def refund_of(capture: Capture, **changes: object) -> Refund:
    return Refund.objects.create(**{"capture": capture, "amount": 100, "requested_at": timezone.now()} | changes)


class TestMovePaymentsTo:
    @pytest.mark.parametrize(("source", "target"), sorted(ALLOWED))
    def test_allows_each_step_of_the_table(self, source, target):
        intent = intent_that_is(source)

        PaymentIntent.move_to(target, [intent])

        assert intent.status == target
        intent.refresh_from_db()
        assert intent.status == target

    @pytest.mark.parametrize(("source", "target"), FORBIDDEN)
    def test_rejects_every_other_step_and_changes_nothing(self, source, target):
        intent = intent_that_is(source)

        with pytest.raises(InvalidTransition), transaction.atomic():
            PaymentIntent.move_to(target, [intent])

        assert intent.status == source
        intent.refresh_from_db()
        assert intent.status == source

    def test_rejects_a_whole_set_when_one_has_moved_meanwhile(self):
        ready, moved_meanwhile = intent_that_is("processing"), intent_that_is("succeeded")
        moved_meanwhile.status = "processing"

        with (
            pytest.raises(InvalidTransition, match="1 of 2 payment intents may not become failed"),
            transaction.atomic(),
        ):
            PaymentIntent.move_to("failed", [ready, moved_meanwhile])

        ready.refresh_from_db()
        assert ready.status == "processing"

    def test_has_every_status_in_its_table(self):
        assert set(PaymentIntent.TRANSITIONS) == set(PaymentIntent.Status)
        assert {source for source, targets in PaymentIntent.TRANSITIONS.items() if targets} == PaymentIntent.OPEN


class TestMoveRefundsTo:
    @pytest.mark.parametrize(("source", "target"), sorted(ALLOWED_OF_REFUNDS))
    def test_allows_each_step_of_the_table(self, source, target):
        refund, settled_at = refund_that_is(source), None if target in Refund.OPEN else timezone.now()

        Refund.move_to(target, [refund], settled_at=settled_at)

        refund.refresh_from_db()
        assert (refund.status, refund.settled_at) == (target, settled_at)

    @pytest.mark.parametrize(("source", "target"), FORBIDDEN_OF_REFUNDS)
    def test_rejects_every_other_step_and_changes_nothing(self, source, target):
        refund = refund_that_is(source)

        with pytest.raises(InvalidTransition, match=f"1 of 1 refunds may not become {target}"), transaction.atomic():
            Refund.move_to(target, [refund])

        refund.refresh_from_db()
        assert refund.status == source

    def test_has_every_status_in_its_table(self):
        assert set(Refund.TRANSITIONS) == set(Refund.Status)
        assert {source for source, targets in Refund.TRANSITIONS.items() if targets} == Refund.OPEN


class TestDatabaseConstraints:
    def test_reject_a_payment_of_a_negative_amount(self):
        intent_that_is("created")

        with pytest.raises(IntegrityError), transaction.atomic():
            PaymentIntent.objects.update(amount=-1)

    def test_reject_a_second_payment_of_one_order(self):
        intent = intent_that_is("created")
        intent.pk = uuid4()

        with pytest.raises(IntegrityError), transaction.atomic():
            intent.save(force_insert=True)

    @pytest.mark.parametrize(
        "changes", [{"amount": 0}, {"amount": -100}, {"status": "succeeded"}, {"settled_at": timezone.now()}]
    )
    def test_reject_a_refund_with(self, changes):
        capture = capture_of(intent_that_is("succeeded"))

        with pytest.raises(IntegrityError), transaction.atomic():
            refund_of(capture, **changes)

    @pytest.mark.parametrize("changes", [{"status": "pending"}, {"status": "unknown"}, {"settled_at": None}])
    def test_reject_an_ended_refund_with(self, changes):
        refund = refund_that_is("succeeded")

        with pytest.raises(IntegrityError), transaction.atomic():
            Refund.objects.filter(pk=refund.pk).update(**changes)

    @pytest.mark.parametrize("changes", [{"amount": 0}, {"amount": -1}, {"returned": -1}, {"returned": 4_501}])
    def test_reject_a_capture_with(self, changes):
        intent = intent_that_is("succeeded")

        with pytest.raises(IntegrityError), transaction.atomic():
            capture_of(intent, **changes)

    def test_reject_refunds_beyond_the_capture(self):
        capture = capture_of(intent_that_is("succeeded"), returned=4_500)

        with pytest.raises(IntegrityError, match="returned_within_capture"), transaction.atomic():
            Capture.objects.filter(pk=capture.pk).update(returned=F("returned") + 1)

    @pytest.mark.parametrize("again", [{"reference": "ch_1", "surplus": True}, {"reference": "ch_2"}])
    def test_reject_a_second_capture_as(self, again):
        intent = intent_that_is("succeeded")
        capture_of(intent)

        with pytest.raises(IntegrityError), transaction.atomic():
            capture_of(intent, **again)

    def test_accept_further_captures_as_surplus(self):
        intent = intent_that_is("succeeded")
        capture_of(intent)

        surplus = [capture_of(intent, reference=reference, surplus=True) for reference in ("ch_2", "ch_3")]

        assert list(intent.captures.order_by("pk"))[1:] == surplus

    def test_reject_a_second_webhook_of_one_event(self):
        webhook = {"event_id": "evt_1", "body": b"{}", "outcome": "succeeded", "amount": 1, "currency": "GBP"}
        WebhookEvent.objects.create(received_at=timezone.now(), **webhook)

        with pytest.raises(IntegrityError), transaction.atomic():
            WebhookEvent.objects.create(received_at=timezone.now(), **webhook)


class TestCapture:
    def test_is_refundable_less_what_was_refunded(self):
        assert capture_of(intent_that_is("succeeded"), returned=1_500).refundable == 3_000


class TestPaymentIntent:
    @pytest.mark.parametrize(
        ("status", "is_wanted"),
        [
            ("created", True),
            ("processing", True),
            ("unknown", True),
            ("succeeded", True),
            ("failed", False),
            ("cancelled", False),
        ],
    )
    def test_is_wanted_until_its_order_is_over(self, status, is_wanted):
        assert intent_that_is(status).is_wanted is is_wanted
        assert not intent_that_is(status, withdrawn_at=timezone.now()).is_wanted
