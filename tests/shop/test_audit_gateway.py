"""
Our books held against the gateway's: each way in which they can differ is seen, news on its way is not taken for one.
"""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from payments.gateway.protocol import ChargeRequest, RefundRequest, TimedOut
from payments.models import Capture, Refund
from shop.operations import audit
from tests.gateways import LedgerGateway
from tests.shop.day import HOUR, Day, live_a_day, violated

pytestmark = pytest.mark.django_db

LATER = 3 * HOUR


@pytest.fixture
def day(ledger) -> Day:
    return live_a_day()


def verdict_of_the_gateway(*, after: timedelta = timedelta()) -> str:
    report = audit.run(now=timezone.now() + after)
    [verdict] = [result.verdict for result in report.results if result.id == "O8"]
    return verdict


def charge_of(order, ledger: LedgerGateway) -> ChargeRequest:
    [charge] = [charge for charge in ledger.captured.values() if charge.order_id == str(order.pk)]
    return charge


class TestTheGatewaysBooks:
    def test_agree_with_ours_at_the_end_of_a_day(self, day):
        assert violated() == []
        assert verdict_of_the_gateway(after=LATER) == "ok"

    def test_are_left_out_if_the_gateway_keeps_none(self):
        assert "O8" not in {result.id for result in audit.run(now=timezone.now()).results}

    def test_are_unknown_if_it_does_not_answer(self, day, ledger, monkeypatch):
        def hang(since):
            raise TimedOut

        monkeypatch.setattr(ledger, "statement", hang)

        assert verdict_of_the_gateway() == "unknown"

    def test_may_be_ahead_of_ours_until_somebody_has_told_us(self, day, ledger):
        key = str(uuid4())
        ledger.captured[key] = replace(charge_of(day.ada, ledger), idempotency_key=key)

        assert verdict_of_the_gateway() == "ok"
        assert verdict_of_the_gateway(after=LATER) == "violation"

    def test_may_be_behind_ours_while_a_worker_books_what_just_came(self, day, ledger):
        del ledger.captured[charge_of(day.bob, ledger).idempotency_key]

        assert verdict_of_the_gateway() == "ok"

    def test_differ_if_money_came_for_nobody(self, day, ledger):
        key = str(uuid4())
        ledger.captured[key] = replace(charge_of(day.ada, ledger), idempotency_key=key, order_id=str(uuid4()))

        assert verdict_of_the_gateway(after=LATER) == "violation"

    def test_differ_if_they_lack_what_we_have(self, day, ledger):
        del ledger.captured[charge_of(day.bob, ledger).idempotency_key]

        assert verdict_of_the_gateway(after=LATER) == "violation"

    def test_differ_if_they_have_another_amount(self, day, ledger):
        charge = charge_of(day.bob, ledger)
        ledger.captured[charge.idempotency_key] = replace(charge, amount=charge.amount - 1)

        assert verdict_of_the_gateway(after=LATER) == "violation"

    def test_differ_if_they_gave_back_what_nobody_asked_for(self, day, ledger):
        reference = Capture.objects.get(intent__order_id=day.bob.pk).reference
        strange = RefundRequest(idempotency_key=str(uuid4()), charge_reference=reference, amount=1, currency="GBP")
        ledger.refunded[strange.idempotency_key] = strange

        assert verdict_of_the_gateway(after=LATER) == "violation"

    def test_differ_if_they_did_not_give_back_what_we_think_they_did(self, day, ledger):
        ledger.refunded.clear()

        assert verdict_of_the_gateway(after=LATER) == "violation"

    def test_may_have_a_refund_whose_answer_we_still_wait_for(self, day):
        Refund.objects.update(status="unknown", settled_at=None)

        assert verdict_of_the_gateway() == "ok"
        assert verdict_of_the_gateway(after=LATER) == "violation"
