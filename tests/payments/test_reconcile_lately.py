import logging
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule

from payments import reconciliation
from payments.differences import DifferenceKind
from payments.gateway.protocol import TimedOut, Unreachable
from payments.reconciliation import ReconciliationReport
from payments.simulator.ledger import Ledger
from tests.gateways import RecordingGateway
from tests.payments.books import capture_rows
from tests.payments.scenes import NOON, collect

pytestmark = pytest.mark.django_db


def reconcile(since: datetime | None) -> ReconciliationReport:
    return reconciliation.reconcile(since=since, now=NOON + timedelta(hours=1))


class TestReconcileSince:
    @pytest.fixture(autouse=True)
    def dated(self, monkeypatch) -> RecordingGateway:
        """
        A gateway that captures every charge a month before noon.
        """
        ledger = RecordingGateway(Ledger(clock=lambda: NOON - timedelta(days=30)))
        monkeypatch.setattr("payments.gateway.protocol.current", lambda: ledger)
        return ledger

    def test_leaves_out_what_both_books_had_before(self):
        collect(now=NOON - timedelta(days=30))

        assert reconcile(NOON) == ReconciliationReport(entries=0, captures=0, repaired=[], left=[])

    def test_reads_older_entries_for_captures_that_were_recorded_lately(self):
        collect("tok_timeout", now=NOON - timedelta(days=30))
        reconcile(None)

        agreeing = ReconciliationReport(entries=1, captures=1, repaired=[], left=[])
        assert reconcile(NOON - timedelta(days=2)) == agreeing

    def test_finds_captures_that_only_our_books_have_since_then(self, dated):
        collect()
        dated.edit_statement = lambda _: None

        assert [difference.kind for difference in reconcile(NOON - timedelta(days=2)).left] == [DifferenceKind.MISSING]
        assert reconcile(NOON + timedelta(minutes=1)).left == []


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

    @pytest.mark.parametrize("problem", [TimedOut("no answer"), Unreachable("no route")], ids=["silent", "away"])
    def test_waits_for_the_next_hour_when_the_gateway_cannot_be_queried(self, ledger, problem, caplog):
        intent = collect("tok_timeout")
        ledger.statement_error = problem

        reconciliation.reconcile_lately()

        intent.refresh_from_db()
        assert (intent.status, capture_rows()) == ("unknown", [])
        assert f"Payments were not reconciled: {problem}" in caplog.text

    def test_logs_no_error_where_the_gateway_keeps_no_books(self, caplog):
        reconciliation.reconcile_lately()

        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

    def test_is_scheduled_every_hour(self):
        schedule = Schedule.objects.get(func="payments.reconciliation.reconcile_lately")

        assert (schedule.schedule_type, schedule.name) == ("H", "Reconcile payments with the gateway")
