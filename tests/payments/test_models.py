from itertools import product
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from payments.models import ForbiddenStep, PaymentIntent, Refund

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


def intent_that_is(status: str) -> PaymentIntent:
    return PaymentIntent.objects.create(
        order_id=uuid4(), amount=4_500, currency="GBP", status=status, created_at=timezone.now()
    )


def refund_of(intent: PaymentIntent, **changes: object) -> Refund:
    return Refund.objects.create(**{"intent": intent, "amount": 100, "requested_at": timezone.now()} | changes)


class TestMoveTo:
    @pytest.mark.parametrize(("source", "target"), sorted(ALLOWED))
    def test_takes_an_allowed_step(self, source, target):
        intent = intent_that_is(source)

        PaymentIntent.move_to(target, [intent])

        assert intent.status == target
        intent.refresh_from_db()
        assert intent.status == target

    @pytest.mark.parametrize(("source", "target"), FORBIDDEN)
    def test_refuses_every_other_step_and_changes_nothing(self, source, target):
        intent = intent_that_is(source)

        with pytest.raises(ForbiddenStep), transaction.atomic():
            PaymentIntent.move_to(target, [intent])

        assert intent.status == source
        intent.refresh_from_db()
        assert intent.status == source

    def test_refuses_a_set_whole_when_one_has_moved_meanwhile(self):
        ready, moved_meanwhile = intent_that_is("processing"), intent_that_is("succeeded")
        moved_meanwhile.status = "processing"

        with pytest.raises(ForbiddenStep, match="1 of 2 payments may not become failed"), transaction.atomic():
            PaymentIntent.move_to("failed", [ready, moved_meanwhile])

        ready.refresh_from_db()
        assert ready.status == "processing"

    def test_names_every_status_in_its_table(self):
        assert set(PaymentIntent.TRANSITIONS) == set(PaymentIntent.Status)
        assert {source for source, targets in PaymentIntent.TRANSITIONS.items() if targets} == PaymentIntent.OPEN


class TestConstraints:
    def test_the_database_refuses_a_payment_below_nothing(self):
        intent_that_is("created")

        with pytest.raises(IntegrityError), transaction.atomic():
            PaymentIntent.objects.update(amount=-1)

    def test_the_database_refuses_a_second_payment_of_one_order(self):
        intent = intent_that_is("created")
        intent.pk = uuid4()

        with pytest.raises(IntegrityError), transaction.atomic():
            intent.save(force_insert=True)

    @pytest.mark.parametrize(
        "lie", [{"amount": 0}, {"amount": -100}, {"status": "succeeded"}, {"settled_at": timezone.now()}]
    )
    def test_the_database_refuses_a_refund_with(self, lie):
        intent = intent_that_is("succeeded")

        with pytest.raises(IntegrityError), transaction.atomic():
            refund_of(intent, **lie)
