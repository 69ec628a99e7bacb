"""
O8, the comparison with the gateway's statement: it detects each kind of difference, and allows for recent payments.
"""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from payments.gateway.protocol import ChargeRequest, RefundRequest, TimedOut, Unreachable
from payments.models import Capture, PaymentIntent, Refund
from shop.operations import audit
from tests.gateways import RecordingGateway
from tests.shop.operations.audit.day import HOUR, Day, violated

pytestmark = pytest.mark.django_db

LATER = 3 * HOUR
UNREPAIRED = HOUR
"""Longer than a worker needs, shorter than the hourly reconciliation does."""


@pytest.fixture
def day(ledger, day) -> Day:
    return day


def o8_verdict(*, after: timedelta = timedelta()) -> str:
    report = audit.run(now=timezone.now() + after)
    [verdict] = [result.verdict for result in report.results if result.id == "O8"]
    return verdict


def charge_again(order, ledger: RecordingGateway, *, order_id: str) -> str:
    """
    Charge as much as this order's payment, under a new key and for the order of this id. Return the new reference.
    """
    [charge] = [charge for charge in ledger.charges.values() if charge.order_id == str(order.pk)]
    money = {"amount": charge.amount, "currency": charge.currency, "payment_method": "tok_visa"}
    return ledger.charge(ChargeRequest(idempotency_key=str(uuid4()), order_id=order_id, **money)).reference


def refund_at_the_gateway(reference: str, ledger: RecordingGateway) -> None:
    ledger.refund(RefundRequest(idempotency_key=str(uuid4()), charge_reference=reference, amount=1, currency="GBP"))


class TestStatement:
    def test_agrees_at_the_end_of_a_day(self, day):
        assert violated() == []
        assert o8_verdict(after=LATER) == "ok"

    def test_is_skipped_if_the_gateway_has_none(self):
        assert "O8" not in {result.id for result in audit.run(now=timezone.now()).results}

    @pytest.mark.parametrize("error", [TimedOut("No answer after 5 s."), Unreachable("Connection refused.")])
    def test_is_unknown_with_the_reason_if_the_gateway_does_not_answer(self, day, ledger, error):
        ledger.script.append(error)

        [result] = [result for result in audit.run(now=timezone.now()).results if result.id == "O8"]

        reason = f"the gateway's statement could not be read: {error}"
        assert (result.verdict, result.evaluated, result.reason) == ("unknown", 0, reason)

    def test_covers_payments_that_were_stored_with_the_earlier_path_of_the_adapter(self, day, ledger):
        PaymentIntent.objects.update(gateway="payments.adapters.instant.InstantGateway")
        assert o8_verdict(after=LATER) == "ok"

        ledger.edit_statement = lambda _: None
        assert o8_verdict(after=LATER) == "violation"

    def test_may_have_a_recent_payment_that_is_not_recorded_yet(self, day, ledger):
        charge_again(day.ada, ledger, order_id=str(day.ada.pk))

        assert o8_verdict(after=UNREPAIRED) == "ok"
        assert o8_verdict(after=LATER) == "violation"

    def test_may_lack_only_a_payment_that_was_just_recorded(self, day, ledger):
        ledger.edit_statement = lambda entry: None if entry.order_id == str(day.bob.pk) else entry

        assert o8_verdict() == "ok"
        assert o8_verdict(after=UNREPAIRED) == "violation"

    def test_differs_by_a_payment_for_an_unknown_order(self, day, ledger):
        charge_again(day.ada, ledger, order_id=str(uuid4()))

        assert o8_verdict(after=UNREPAIRED) == "violation"

    @pytest.mark.parametrize(
        "edit",
        [
            lambda entry: replace(entry, captured=entry.captured._replace(amount=1)),
            lambda entry: replace(entry, refunds={}),
        ],
        ids=["an amount", "a missing refund"],
    )
    def test_differs_by(self, day, ledger, edit):
        ledger.edit_statement = edit

        assert o8_verdict(after=UNREPAIRED) == "violation"

    def test_differs_by_a_payment_that_the_gateway_has_refunded(self, day, ledger):
        refund_at_the_gateway(charge_again(day.ada, ledger, order_id=str(day.ada.pk)), ledger)

        assert o8_verdict(after=UNREPAIRED) == "violation"

    def test_differs_by_an_unrequested_refund(self, day, ledger):
        refund_at_the_gateway(Capture.objects.get(intent__order_id=day.bob.pk).reference, ledger)

        assert o8_verdict(after=UNREPAIRED) == "violation"

    def test_may_have_a_refund_whose_answer_is_outstanding(self, day):
        Refund.objects.update(status="unknown", settled_at=None)

        assert o8_verdict(after=UNREPAIRED) == "ok"
        assert o8_verdict(after=LATER) == "violation"
