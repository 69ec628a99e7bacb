from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from messaging import contracts
from payments import reconciliation, refunds
from payments.charges import services
from payments.differences import REPAIRABLE, DifferenceKind
from payments.gateway.protocol import Answer, NoStatement, Outcome, RefundRequest, StatementEntry, TimedOut, Unreachable
from payments.models import Capture, PaymentIntent
from payments.reconciliation import ReconciliationReport
from tests.outbox import announced, published
from tests.payments.scenes import (
    NOON,
    capture_other_amount,
    captured,
    charge_elsewhere,
    dues_of,
    given_back,
    payment_requested,
    status_of,
)

pytestmark = pytest.mark.django_db

LATER = NOON + timedelta(hours=1)
HALF = {"amount": 2_000, "currency": "GBP"}


@pytest.fixture
def paid(ledger) -> PaymentIntent:
    """
    45.00 GBP that both books have, and that 20.00 GBP went back of.
    """
    asked = payment_requested()
    services.collect([asked], now=NOON)
    (refund,) = refunds.refund(asked.order_id, amount=2_000, reason="a scratch", now=NOON)
    refunds.send([str(refund.pk)], now=NOON)
    return PaymentIntent.objects.get()


def pending() -> PaymentIntent:
    """
    A payment that waits for its customer.
    """
    services.collect([payment_requested(payment_method="tok_pending")], now=NOON)
    return PaymentIntent.objects.get(status="processing")


def reconcile(since: datetime | None = None) -> ReconciliationReport:
    return reconciliation.reconcile(since=since, now=LATER)


def found(report: ReconciliationReport) -> list[tuple[str, str, str]]:
    """
    List what differed: its kind, the gateway's reference, and whether it is repaired.
    """
    states = [(report.repaired, "repaired"), (report.left, "left")]
    return sorted((it.kind, it.reference, state) for differences, state in states for it in differences)


def intent_of(asked: contracts.PaymentRequested) -> PaymentIntent:
    return PaymentIntent.objects.get(order_id=asked.order_id)


class TestReconcile:
    def test_leaves_what_somebody_gave_back_at_the_gateway_to_a_person(self, ledger):
        intent = pending()
        ledger.approve(str(intent.pk))
        reference = f"instant-{intent.pk}"
        ledger.refund(
            RefundRequest(idempotency_key="by hand", charge_reference=reference, amount=intent.amount, currency="GBP")
        )

        report = reconcile()

        assert found(report) == [("given_back", reference, "left")]
        intent.refresh_from_db()
        assert intent.status == "processing"

    def test_finds_nothing_where_the_books_agree(self, paid, ledger):
        before = announced()

        report = reconcile()

        assert report == ReconciliationReport(entries=1, captures=1, repaired=[], left=[])
        assert announced() == before

    def test_finds_nothing_wrong_with_money_that_is_not_there(self, ledger):
        services.collect([payment_requested(payment_method="tok_declined"), payment_requested(amount=0)], now=NOON)
        pending()

        assert reconcile() == ReconciliationReport(entries=0, captures=0, repaired=[], left=[])

    def test_takes_payments_that_were_opened_elsewhere_for_none_of_this_gateways(self, paid, ledger):
        PaymentIntent.objects.update(gateway="payments.gateway.adapters.of_old.Gateway")
        ledger.captured.clear()

        assert reconcile() == ReconciliationReport(entries=0, captures=0, repaired=[], left=[])

    def test_leaves_out_what_it_learned_after_it_asked(self, paid, ledger):
        ledger.captured.clear()
        Capture.objects.update(captured_at=LATER + timedelta(seconds=1))

        assert found(reconcile()) == []

    @pytest.mark.parametrize("problem", [TimedOut, Unreachable])
    def test_says_that_the_gateway_could_not_be_asked(self, ledger, monkeypatch, problem):
        def unable(since: datetime | None) -> Iterable[StatementEntry]:
            raise problem

        monkeypatch.setattr(ledger, "statement", unable)

        with pytest.raises(problem):
            reconcile()

    def test_says_that_a_gateway_keeps_no_books(self):
        with pytest.raises(NoStatement, match="keeps no books"):
            reconcile()


class TestRepair:
    def test_takes_a_payment_as_paid_whose_answer_never_came(self, ledger):
        asked = payment_requested(payment_method="tok_timeout")
        services.collect([asked], now=NOON)

        reports = [reconcile(), reconcile()]

        reference = f"instant-{intent_of(asked).pk}"
        assert [found(report) for report in reports] == [[("unbooked", reference, "repaired")], []]
        assert (status_of(asked), captured()) == ("succeeded", [(4_500, "GBP", "", 0)])
        assert len(published(contracts.PaymentSucceeded)) == 1

    def test_gives_back_once_what_came_for_an_order_that_was_over(self, ledger):
        asked = payment_requested(payment_method="tok_pending")
        services.collect([asked], now=NOON)
        services.settle_overdue(dues_of(asked), now=NOON)
        intent = intent_of(asked)
        ledger.approve(str(intent.pk))

        reports = [reconcile(), reconcile()]

        assert [found(report) for report in reports] == [[("unbooked", f"instant-{intent.pk}", "repaired")], []]
        assert given_back() == [(4_500, "pending", "paid when the order was over")]
        assert [it.anomaly for it in published(contracts.PaymentAnomalyFound)] == ["paid_late"]

    def test_gives_back_once_what_somebody_else_charged_for_the_order(self, paid, ledger):
        charge_elsewhere(ledger, paid)

        reports = [reconcile(), reconcile()]

        assert [found(report) for report in reports] == [[("unbooked", "instant-second", "repaired")], []]
        assert captured() == [(4_500, "GBP", "", 2_000), (4_500, "GBP", "surplus", 4_500)]
        assert given_back()[1:] == [(4_500, "pending", "paid twice")]

    def test_takes_no_payment_as_paid_for_what_somebody_else_charged(self, ledger):
        intent = pending()
        charge_elsewhere(ledger, intent)

        reconcile()

        intent.refresh_from_db()
        assert (intent.status, captured()) == ("processing", [(4_500, "GBP", "surplus", 4_500)])
        assert published(contracts.PaymentSucceeded) == []

    def test_gives_back_another_amount_than_was_asked_for(self, ledger):
        intent = pending()
        capture_other_amount(ledger, intent, 4_000)

        reports = [reconcile(), reconcile()]

        assert [found(report) for report in reports] == [[("unbooked", f"instant-{intent.pk}", "repaired")], []]
        assert captured() == [(4_000, "GBP", "surplus", 4_000)]
        assert [it.reason for it in published(contracts.PaymentFailed)] == ["mismatch"]

    def test_settles_a_refund_whose_answer_never_came(self, paid, ledger):
        (refund,) = refunds.refund(str(paid.order_id), amount=2_000, reason="a dent", now=NOON)
        charge = f"instant-{paid.pk}"
        ledger.refunded[str(refund.pk)] = RefundRequest(idempotency_key=str(refund.pk), charge_reference=charge, **HALF)

        reports = [reconcile(), reconcile()]

        refund.refresh_from_db()
        assert [found(report) for report in reports] == [[("refund_unsettled", charge, "repaired")], []]
        assert (refund.status, refund.settled_at, refund.provider_reference) == ("succeeded", LATER, "")
        assert len(published(contracts.PaymentRefunded)) == 2

    def test_is_not_done_again_by_answers_that_come_afterwards(self, ledger):
        asked = payment_requested(payment_method="tok_timeout")
        services.collect([asked], now=NOON)
        reconcile()

        services.ask_again({asked.order_id: 1}, now=NOON)
        services.settle_overdue(dues_of(asked), now=NOON)

        assert (captured(), given_back()) == ([(4_500, "GBP", "", 0)], [])


class TestWhatIsLeftToAPerson:
    def assert_left(self, kind: DifferenceKind, reference: str) -> None:
        """
        See that it is found, and found again, and that nothing is done about it.
        """
        before = (captured(), given_back(), announced())
        assert [found(reconcile()), found(reconcile())] == [[(kind, reference, "left")]] * 2
        assert (captured(), given_back(), announced()) == before

    def test_is_money_for_no_order_of_ours(self, paid, ledger):
        stranger = PaymentIntent(order_id=paid.pk, amount=4_500, currency="GBP", created_at=NOON)
        charge_elsewhere(ledger, stranger, key="strange")

        self.assert_left(DifferenceKind.STRANGE, "instant-strange")

    def test_is_money_that_the_gateway_does_not_have(self, paid, ledger):
        ledger.captured.clear()

        self.assert_left(DifferenceKind.MISSING, f"instant-{paid.pk}")

    @pytest.mark.parametrize(("amount", "currency"), [(4_499, "GBP"), (4_500, "USD")])
    def test_is_money_of_another_amount_or_currency(self, paid, ledger, amount, currency):
        capture_other_amount(ledger, paid, amount, currency)

        self.assert_left(DifferenceKind.DIFFERENT, f"instant-{paid.pk}")

    def test_is_a_refund_that_we_did_not_ask_for(self, paid, ledger):
        charge = f"instant-{paid.pk}"
        ledger.refunded["by-hand"] = RefundRequest(idempotency_key="by-hand", charge_reference=charge, **HALF)

        self.assert_left(DifferenceKind.REFUND_STRANGE, charge)

    def test_is_a_refund_of_another_amount(self, paid, ledger):
        (key,) = ledger.refunded
        ledger.refunded[key] = replace(ledger.refunded[key], amount=1_999)

        self.assert_left(DifferenceKind.REFUND_STRANGE, f"instant-{paid.pk}")

    def test_is_a_refund_that_was_first_refused(self, paid, ledger):
        (refund,) = refunds.refund(str(paid.order_id), amount=2_000, reason="a dent", now=NOON)
        refunds.apply_replies({refund.pk: Answer(outcome=Outcome.DECLINED)}, now=NOON)
        charge = f"instant-{paid.pk}"
        ledger.refunded[str(refund.pk)] = RefundRequest(idempotency_key=str(refund.pk), charge_reference=charge, **HALF)

        self.assert_left(DifferenceKind.REFUND_STRANGE, charge)

    def test_is_a_refund_that_the_gateway_does_not_have(self, paid, ledger):
        ledger.refunded.clear()

        self.assert_left(DifferenceKind.REFUND_MISSING, f"instant-{paid.pk}")

    def test_is_every_other_kind_than_those_that_are_repaired(self):
        assert {DifferenceKind.UNBOOKED, DifferenceKind.REFUND_UNSETTLED} == REPAIRABLE
