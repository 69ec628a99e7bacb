import logging
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule

from messaging.contracts import PaymentAnomalyFound, PaymentFailed, PaymentRefunded, PaymentSucceeded
from payments import reconciliation, refunds
from payments.charges import services
from payments.differences import UNCONFIRMED, DifferenceKind
from payments.gateway.protocol import Answer, Money, Outcome, RefundRequest, TimedOut, Unreachable
from payments.models import Capture, PaymentIntent, Reconciliation
from payments.reconciliation import ReconciliationReport
from payments.simulator.ledger import Ledger
from tests.gateways import INSTANT, RecordingGateway
from tests.outbox import announced, published
from tests.payments.books import CaptureRow, RefundRow, capture_rows, refund_rows
from tests.payments.scenes import (
    NOON,
    capture_other_amount,
    charge_elsewhere,
    collect,
    dues_of,
    payment_requested,
    request_refund,
    unopened_intent,
)

pytestmark = pytest.mark.django_db

LATER = NOON + timedelta(hours=1)
NOTHING = ReconciliationReport(entries=0, captures=0, repaired=[], left=[])
AGREEING = ReconciliationReport(entries=1, captures=1, repaired=[], left=[])
KEPT = CaptureRow(4_500)


@pytest.fixture
def paid(ledger) -> PaymentIntent:
    """45.00 GBP, of which 20.00 GBP are refunded, in both books."""
    intent = collect()
    refund = request_refund(intent.order_id, 2_000)
    refunds.send([str(refund.pk)], now=NOON)
    return intent


def refund_at_the_gateway(ledger: RecordingGateway, intent: PaymentIntent, *, key: str = "by-hand") -> None:
    """Refund 20.00 GBP of an intent's charge in the gateway's books only."""
    reference = f"instant-{intent.pk}"
    request = RefundRequest(idempotency_key=key, charge_reference=reference, amount=2_000, currency="GBP")
    ledger.refund(request)


def reconcile(since: datetime | None = None) -> ReconciliationReport:
    return reconciliation.reconcile(since=since, now=LATER)


def differences(report: ReconciliationReport) -> list[tuple[str, str, str]]:
    """Return of each difference its kind, the gateway's reference, and whether it is repaired or left."""
    states = [(report.repaired, "repaired"), (report.left, "left")]
    return sorted((difference.kind, difference.reference, state) for group, state in states for difference in group)


class TestReconcile:
    def test_finds_nothing_where_the_books_agree(self, paid, ledger):
        before = announced()

        assert reconcile() == AGREEING
        assert announced() == before

    def test_finds_nothing_where_no_money_was_captured(self, ledger):
        services.collect([payment_requested(payment_method="tok_declined"), payment_requested(amount=0)], now=NOON)
        collect("tok_pending")

        assert reconcile() == NOTHING

    def test_leaves_out_payments_that_were_opened_at_another_gateway(self, paid, ledger):
        PaymentIntent.objects.update(gateway="payments.gateway.adapters.former.FormerGateway")
        ledger.edit_statement = lambda _: None

        assert reconcile() == NOTHING

    def test_leaves_out_captures_that_were_recorded_after_the_statement(self, paid, ledger):
        ledger.edit_statement = lambda _: None
        Capture.objects.update(captured_at=LATER + timedelta(seconds=1))

        assert differences(reconcile()) == []


class TestRepair:
    def assert_repaired_once(self, kind: str, reference: str) -> None:
        reports = [reconcile(), reconcile()]
        assert [differences(report) for report in reports] == [[(kind, reference, "repaired")], []]

    def test_records_a_payment_whose_answer_was_lost(self, ledger):
        intent = collect("tok_timeout")

        self.assert_repaired_once("unbooked", f"instant-{intent.pk}")

        intent.refresh_from_db()
        assert (intent.status, capture_rows()) == ("succeeded", [KEPT])
        assert len(published(PaymentSucceeded)) == 1

        services.ask_again({str(intent.order_id): 1}, now=NOON)
        services.settle_overdue(dues_of(intent), now=NOON)
        assert (capture_rows(), refund_rows()) == ([KEPT], [])

    def test_refunds_once_what_was_captured_for_an_order_that_was_over(self, ledger):
        intent = collect("tok_pending")
        services.settle_overdue(dues_of(intent), now=NOON)
        ledger.approve(str(intent.pk))

        self.assert_repaired_once("unbooked", f"instant-{intent.pk}")

        assert refund_rows() == [RefundRow(4_500, "pending", "paid when the order was over")]
        assert [event.anomaly for event in published(PaymentAnomalyFound)] == ["paid_late"]

    def test_refunds_once_what_another_charge_captured_for_the_order(self, paid, ledger):
        charge_elsewhere(ledger, paid)

        self.assert_repaired_once("unbooked", "instant-second")

        assert capture_rows() == [CaptureRow(4_500, returned=2_000), CaptureRow(4_500, surplus=True, returned=4_500)]
        assert refund_rows()[1:] == [RefundRow(4_500, "pending", "paid twice")]

    def test_does_not_complete_a_payment_by_another_charge(self, ledger):
        intent = collect("tok_pending")
        charge_elsewhere(ledger, intent)

        reconcile()

        intent.refresh_from_db()
        assert intent.status == "processing"
        assert capture_rows() == [CaptureRow(4_500, surplus=True, returned=4_500)]
        assert published(PaymentSucceeded) == []

    def test_refunds_another_amount_than_requested(self, ledger):
        intent = collect("tok_pending")
        capture_other_amount(ledger, intent, 4_000)

        self.assert_repaired_once("unbooked", f"instant-{intent.pk}")

        assert capture_rows() == [CaptureRow(4_000, surplus=True, returned=4_000)]
        assert [event.reason for event in published(PaymentFailed)] == ["mismatch"]

    def test_completes_a_refund_whose_answer_was_lost(self, paid, ledger):
        refund = request_refund(paid.order_id, 2_000)
        refund_at_the_gateway(ledger, paid, key=str(refund.pk))

        self.assert_repaired_once("refund_unsettled", f"instant-{paid.pk}")

        refund.refresh_from_db()
        assert (refund.status, refund.settled_at, refund.provider_reference) == ("succeeded", LATER, "")
        assert len(published(PaymentRefunded)) == 2


class TestDifferencesLeftToAnOperator:
    def assert_left(self, kind: DifferenceKind, reference: str) -> None:
        """Assert that it is found twice, that no money moves, and one alert if our capture is unconfirmed."""
        before, alerts = (capture_rows(), refund_rows(), announced()), {}
        if kind in UNCONFIRMED:
            alerts = {"payments.payment_anomaly_found": 1}
        assert [differences(reconcile()), differences(reconcile())] == [[(kind, reference, "left")]] * 2
        assert (capture_rows(), refund_rows(), announced()) == (*before[:2], before[2] | alerts)

    @pytest.mark.parametrize(
        ("kind", "edit"),
        [
            (DifferenceKind.MISSING, lambda _: None),
            (DifferenceKind.DIFFERENT, lambda entry: replace(entry, captured=Money(4_499, "GBP"))),
            (DifferenceKind.DIFFERENT, lambda entry: replace(entry, captured=Money(4_500, "USD"))),
            (DifferenceKind.REFUND_MISSING, lambda entry: replace(entry, refunds={})),
            (DifferenceKind.REFUND_STRANGE, lambda entry: replace(entry, refunds=dict.fromkeys(entry.refunds, 1_999))),
            (DifferenceKind.REFUND_STRANGE, lambda entry: replace(entry, refunds={**entry.refunds, "by-hand": 1})),
        ],
    )
    def test_a_statement_that_differs_about_a_payment_of_ours(self, paid, ledger, kind, edit):
        ledger.edit_statement = edit

        self.assert_left(kind, f"instant-{paid.pk}")

    def test_a_refund_that_was_refused_before(self, paid, ledger):
        refund = request_refund(paid.order_id, 2_000)
        refunds.apply_replies({refund.pk: Answer(outcome=Outcome.DECLINED)}, now=NOON)
        refund_at_the_gateway(ledger, paid, key=str(refund.pk))

        self.assert_left(DifferenceKind.REFUND_STRANGE, f"instant-{paid.pk}")

    def test_a_capture_that_was_refunded_at_the_gateway(self, ledger):
        intent = collect("tok_pending")
        ledger.approve(str(intent.pk))
        refund_at_the_gateway(ledger, intent)

        self.assert_left(DifferenceKind.GIVEN_BACK, f"instant-{intent.pk}")
        intent.refresh_from_db()
        assert intent.status == "processing"

    def test_a_capture_for_no_order_of_ours(self, paid, ledger):
        charge_elsewhere(ledger, unopened_intent(), key="strange")

        self.assert_left(DifferenceKind.STRANGE, "instant-strange")


class TestReconcileSince:
    @pytest.fixture(autouse=True)
    def dated(self, monkeypatch) -> RecordingGateway:
        """A gateway that captures every charge a month before noon."""
        ledger = RecordingGateway(Ledger(clock=lambda: NOON - timedelta(days=30)))
        monkeypatch.setattr("payments.gateway.protocol.current", lambda: ledger)
        return ledger

    def test_leaves_out_what_both_books_had_before(self):
        collect(now=NOON - timedelta(days=30))

        assert reconcile(since=NOON) == NOTHING

    def test_reads_older_entries_for_captures_that_were_recorded_lately(self):
        collect("tok_timeout", now=NOON - timedelta(days=30))
        reconcile()

        assert reconcile(since=NOON - timedelta(days=2)) == AGREEING

    @pytest.mark.parametrize(("days", "confirmed"), [(2, True), (1, False)])
    def test_renews_the_trust_in_webhooks_if_it_covers_two_days(self, ledger, days, confirmed):
        reconcile(since=LATER - timedelta(days=days))

        assert Reconciliation.objects.filter(began_at=LATER, unconfirmed=0).exists() is confirmed

    def test_finds_captures_that_only_our_books_have_since_then(self, dated):
        collect()
        dated.edit_statement = lambda _: None

        assert [kind for kind, _, _ in differences(reconcile(since=NOON - timedelta(days=2)))] == ["missing"]
        assert reconcile(since=NOON + timedelta(minutes=1)).left == []


class TestReconcileLately:
    def test_repairs_the_last_two_days(self, ledger):
        intent = collect("tok_timeout", now=timezone.now())
        now = timezone.now()

        reconciliation.reconcile_lately()

        assert abs(now - ledger.statements[0] - timedelta(days=3)) < timedelta(seconds=5)
        intent.refresh_from_db()
        assert intent.status == "succeeded"

    def test_logs_what_is_left_to_an_operator(self, ledger, caplog):
        intent = collect(now=timezone.now())
        ledger.edit_statement = lambda _: None

        reconciliation.reconcile_lately()

        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert f"reference='instant-{intent.pk}'" in record.getMessage()

    def test_alerts_the_operator_once_about_each_capture_that_the_gateway_does_not_confirm(self, ledger):
        missing = collect(now=timezone.now())
        ledger.edit_statement = lambda _: None
        reconciliation.reconcile_lately()
        short = collect(now=timezone.now())
        ledger.edit_statement = lambda entry: replace(entry, captured=Money(4_400, "GBP"))
        reconciliation.reconcile_lately()

        reconciliation.reconcile_lately()

        anomalies = [(event.anomaly, event.order_id) for event in published(PaymentAnomalyFound)]
        assert anomalies == [("unconfirmed_capture", str(intent.order_id)) for intent in (missing, short)]
        assert Reconciliation.objects.values_list("gateway", "unconfirmed").get() == (INSTANT, 2)

    def test_alerts_the_operator_about_ten_captures_at_most(self, ledger):
        services.collect([payment_requested() for _ in range(12)], now=timezone.now())
        ledger.edit_statement = lambda _: None

        reconciliation.reconcile_lately()

        assert (len(published(PaymentAnomalyFound)), Reconciliation.objects.get().unconfirmed) == (10, 12)

    def test_confirms_our_captures_again_when_the_gateway_does(self, ledger):
        collect(now=timezone.now())
        for edited, unconfirmed in ((None, 1), (ledger.edit_statement, 0)):
            ledger.edit_statement = edited or (lambda _: None)
            reconciliation.reconcile_lately()
            assert Reconciliation.objects.get().unconfirmed == unconfirmed

    @pytest.mark.parametrize("problem", [TimedOut("no answer"), Unreachable("no route")], ids=["silent", "away"])
    def test_waits_for_the_next_hour_when_the_gateway_cannot_be_queried(self, ledger, problem, caplog):
        intent = collect("tok_timeout")
        ledger.script.append(problem)

        reconciliation.reconcile_lately()

        intent.refresh_from_db()
        assert (intent.status, capture_rows()) == ("unknown", [])
        assert f"Payments were not reconciled: {problem}" in caplog.text
        assert not Reconciliation.objects.exists()

    def test_logs_no_error_where_the_gateway_keeps_no_books(self, caplog):
        reconciliation.reconcile_lately()

        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

    def test_is_scheduled_every_hour(self):
        schedule = Schedule.objects.get(func="payments.reconciliation.reconcile_lately")

        assert (schedule.schedule_type, schedule.name) == ("H", "Reconcile payments with the gateway")
