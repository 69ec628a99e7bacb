from itertools import product

import pytest
from django.db import IntegrityError, transaction

from messaging.kernel.state_machine import InvalidTransition
from payments.models import Capture, PaymentIntent, Refund, WebhookEvent
from tests.payments.scenes import NOON, unopened_intent

pytestmark = pytest.mark.django_db

STEPS = {
    (PaymentIntent, "created", "processing"),
    (PaymentIntent, "created", "cancelled"),
    (PaymentIntent, "processing", "unknown"),
    (PaymentIntent, "unknown", "processing"),
    *product([PaymentIntent], ["processing", "unknown"], ["succeeded", "failed", "cancelled"]),
    (Refund, "pending", "unknown"),
    *product([Refund], ["pending", "unknown"], ["succeeded", "failed"]),
}
FORBIDDEN = {
    (model, *step) for model in (PaymentIntent, Refund) for step in product(model.Status.values, repeat=2)
} - STEPS


def intent_that_is(status: str, **changes: object) -> PaymentIntent:
    intent = unopened_intent(status=status, **changes)
    intent.save(force_insert=True)
    return intent


def capture_of(intent: PaymentIntent, **changes: object) -> Capture:
    fields = {"reference": "ch_1", "amount": 4_500, "currency": "GBP", "captured_at": NOON}
    return Capture.objects.create(intent=intent, **fields | changes)


def paid_capture(**changes: object) -> Capture:
    return capture_of(intent_that_is("succeeded"), **changes)


def refund_of(capture: Capture, **changes: object) -> Refund:
    return Refund.objects.create(**{"capture": capture, "amount": 100, "requested_at": NOON} | changes)


def row_that_is(model: type[PaymentIntent | Refund], status: str) -> PaymentIntent | Refund:
    if model is PaymentIntent:
        return intent_that_is(status)
    return refund_of(paid_capture(), status=status, settled_at=None if status in Refund.OPEN else NOON)


class TestMoveTo:
    @pytest.mark.parametrize(("model", "source", "target"), sorted(STEPS, key=str))
    def test_allows_each_step_of_the_table(self, model, source, target):
        row = row_that_is(model, source)
        changes = {"settled_at": NOON} if model is Refund and target not in Refund.OPEN else {}

        model.move_to(target, [row], **changes)

        assert row.status == target
        row.refresh_from_db()
        assert row.status == target
        assert not changes or row.settled_at == NOON

    @pytest.mark.parametrize(("model", "source", "target"), sorted(FORBIDDEN, key=str))
    def test_rejects_every_other_step_and_changes_nothing(self, model, source, target):
        row = row_that_is(model, source)

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
    @pytest.mark.parametrize(
        ("constraint", "store"),
        [
            ("intent_amount_not_negative", lambda: intent_that_is("created", amount=-1)),
            ("capture_amount_positive", lambda: paid_capture(amount=0)),
            ("capture_amount_positive", lambda: paid_capture(amount=-1)),
            ("returned_within_capture", lambda: paid_capture(returned=-1)),
            ("returned_within_capture", lambda: paid_capture(returned=4_501)),
            ("refund_amount_positive", lambda: refund_of(paid_capture(), amount=0)),
            ("refund_amount_positive", lambda: refund_of(paid_capture(), amount=-100)),
            ("refund_open_until_settled", lambda: refund_of(paid_capture(), status="pending", settled_at=NOON)),
            ("refund_open_until_settled", lambda: refund_of(paid_capture(), status="unknown", settled_at=NOON)),
            ("refund_open_until_settled", lambda: refund_of(paid_capture(), status="succeeded")),
        ],
    )
    def test_reject_a_row(self, constraint, store):
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            store()

    def test_reject_a_second_payment_of_one_order(self):
        intent = intent_that_is("created")

        with pytest.raises(IntegrityError), transaction.atomic():
            intent_that_is("created", order_id=intent.order_id)

    @pytest.mark.parametrize("again", [{"reference": "ch_1", "surplus": True}, {"reference": "ch_2"}])
    def test_reject_a_second_capture_as(self, again):
        capture = paid_capture()

        with pytest.raises(IntegrityError), transaction.atomic():
            capture_of(capture.intent, **again)

    def test_reject_a_second_webhook_of_one_event(self):
        webhook = {"event_id": "evt_1", "body": b"{}", "outcome": "succeeded", "amount": 1, "currency": "GBP"}
        WebhookEvent.objects.create(received_at=NOON, **webhook)

        with pytest.raises(IntegrityError), transaction.atomic():
            WebhookEvent.objects.create(received_at=NOON, **webhook)


@pytest.mark.parametrize("status", PaymentIntent.Status.values)
def test_a_payment_is_wanted_until_its_order_is_over(status):
    assert intent_that_is(status).is_wanted is (status not in {"failed", "cancelled"})
    assert not intent_that_is(status, withdrawn_at=NOON).is_wanted
