from itertools import product
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from messaging.kernel.state_machine import InvalidTransition
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent
from tests.payments.scenes import NOON, unopened_intent

pytestmark = pytest.mark.django_db

PAYMENT_STEPS = {
    ("created", "processing"),
    ("created", "cancelled"),
    *((source, end) for source in ("processing", "unknown") for end in ("succeeded", "failed", "cancelled")),
    ("processing", "unknown"),
    ("unknown", "processing"),
}
REFUND_STEPS = {
    ("pending", "unknown"),
    *((source, end) for source in ("pending", "unknown") for end in ("succeeded", "failed")),
}
ALLOWED = [
    *((PaymentIntent, *step) for step in sorted(PAYMENT_STEPS)),
    *((Refund, *step) for step in sorted(REFUND_STEPS)),
]
FORBIDDEN = [
    (model, *step)
    for model, steps in ((PaymentIntent, PAYMENT_STEPS), (Refund, REFUND_STEPS))
    for step in sorted(set(product(model.Status.values, repeat=2)) - steps)
]


def intent_that_is(status: str, **changes: object) -> PaymentIntent:
    intent = unopened_intent(status=status, **changes)
    intent.save(force_insert=True)
    return intent


def capture_of(intent: PaymentIntent, **changes: object) -> Capture:
    fields = {"reference": "ch_1", "amount": 4_500, "currency": "GBP", "captured_at": NOON}
    return Capture.objects.create(intent=intent, **fields | changes)


def refund_of(capture: Capture, **changes: object) -> Refund:
    return Refund.objects.create(**{"capture": capture, "amount": 100, "requested_at": NOON} | changes)


def refund_that_is(status: str) -> Refund:
    settled_at = None if status in Refund.OPEN else NOON
    return refund_of(capture_of(intent_that_is("succeeded")), status=status, settled_at=settled_at)


class TestMoveTo:
    def row_that_is(self, model: type[PaymentIntent | Refund], status: str) -> PaymentIntent | Refund:
        return intent_that_is(status) if model is PaymentIntent else refund_that_is(status)

    @pytest.mark.parametrize(("model", "source", "target"), ALLOWED)
    def test_allows_each_step_of_the_table(self, model, source, target):
        row = self.row_that_is(model, source)
        changes = {"settled_at": NOON} if model is Refund and target not in Refund.OPEN else {}

        model.move_to(target, [row], **changes)

        assert row.status == target
        row.refresh_from_db()
        assert row.status == target
        assert not changes or row.settled_at == NOON

    @pytest.mark.parametrize(("model", "source", "target"), FORBIDDEN)
    def test_rejects_every_other_step_and_changes_nothing(self, model, source, target):
        row = self.row_that_is(model, source)

        with pytest.raises(InvalidTransition), transaction.atomic():
            model.move_to(target, [row])

        assert row.status == source
        row.refresh_from_db()
        assert row.status == source

    def test_rejects_a_whole_set_when_one_has_moved_meanwhile(self):
        ready, moved_meanwhile = intent_that_is("processing"), intent_that_is("succeeded")
        moved_meanwhile.status = "processing"
        message = "1 of 2 payment intents may not become failed"

        with pytest.raises(InvalidTransition, match=message), transaction.atomic():
            PaymentIntent.move_to("failed", [ready, moved_meanwhile])

        ready.refresh_from_db()
        assert ready.status == "processing"

    @pytest.mark.parametrize("model", [PaymentIntent, Refund])
    def test_has_every_status_in_its_table(self, model):
        assert set(model.TRANSITIONS) == set(model.Status)
        assert {source for source, targets in model.TRANSITIONS.items() if targets} == model.OPEN


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
        "changes", [{"amount": 0}, {"amount": -100}, {"status": "succeeded"}, {"settled_at": NOON}]
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
        WebhookEvent.objects.create(received_at=NOON, **webhook)

        with pytest.raises(IntegrityError), transaction.atomic():
            WebhookEvent.objects.create(received_at=NOON, **webhook)


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
        assert not intent_that_is(status, withdrawn_at=NOON).is_wanted
