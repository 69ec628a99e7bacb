import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError
from django.utils import timezone
from django_q.models import Schedule

from payments import reconciliation
from payments.charges import services
from payments.differences import DifferenceKind
from payments.gateway.protocol import StatementEntry, TimedOut, Unreachable
from payments.models import PaymentIntent
from payments.reconciliation import ReconciliationReport
from tests.gateways import LedgerGateway
from tests.messaging.scenes import Terminal, run, run_json
from tests.payments.scenes import NOON, captured, payment_requested

pytestmark = pytest.mark.django_db


class AskedGateway(LedgerGateway):
    """
    Remembers since when its books were asked for, and has a problem if it is given one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[datetime | None] = []
        self.problem: Exception | None = None

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        self.asked.append(since)
        if self.problem:
            raise self.problem
        return super().statement(since)


class DatedLedger(LedgerGateway):
    """
    Books everything a month before noon, and tells only what it has booked since the moment that is asked for.
    """

    booked_at = NOON - timedelta(days=30)

    def statement(self, since: datetime | None) -> Iterable[StatementEntry]:
        booked = [replace(booking, captured_at=self.booked_at) for booking in super().statement(since)]
        return [booking for booking in booked if not since or booking.captured_at >= since]


@pytest.fixture
def gateway(monkeypatch) -> AskedGateway:
    asked = AskedGateway()
    monkeypatch.setattr("payments.gateway.protocol.current", lambda: asked)
    return asked


@pytest.fixture
def unbooked(gateway) -> PaymentIntent:
    """
    A payment that only the gateway knows to be paid.
    """
    services.collect([payment_requested(payment_method="tok_timeout")], now=timezone.now())
    return PaymentIntent.objects.get()


@pytest.fixture
def missing(gateway) -> PaymentIntent:
    """
    A payment that only our books know to be paid.
    """
    services.collect([payment_requested()], now=timezone.now())
    gateway.captured.clear()
    return PaymentIntent.objects.get()


def reconcile(since: datetime | None) -> ReconciliationReport:
    return reconciliation.reconcile(since=since, now=NOON + timedelta(hours=1))


def row(kind: str, intent: PaymentIntent, *, detail: str, description: str) -> dict[str, str]:
    """
    Return how JSON writes a difference about an intent's own charge.
    """
    known = {"reference": f"instant-{intent.pk}", "order": str(intent.order_id)}
    return {"kind": kind, **known, "detail": detail, "description": description}


class TestReconcilePayments:
    def test_says_that_the_books_agree(self, gateway):
        services.collect([payment_requested()], now=timezone.now())

        assert run("reconcile_payments") == (
            "Captures at the gateway: 1; in our books: 1. Differences repaired: 0; left to an operator: 0.\n"
        )

    def test_shows_what_it_repaired(self, unbooked):
        assert run("reconcile_payments").splitlines() == [
            "kind\tstate\treference\torder\tdetail",
            f"unbooked\trepaired\tinstant-{unbooked.pk}\t{unbooked.order_id}\t45.00 GBP by {unbooked.pk}",
            "Captures at the gateway: 1; in our books: 1. Differences repaired: 1; left to an operator: 0.",
        ]
        assert captured() == [(4_500, "GBP", "", 0)]

    def test_ends_with_1_when_it_leaves_something_to_a_person(self, missing):
        out = StringIO()

        with pytest.raises(SystemExit) as end:
            run("reconcile_payments", out=out)

        assert end.value.code == 1
        assert out.getvalue().splitlines() == [
            "kind\tstate\treference\torder\tdetail",
            f"missing\tleft\tinstant-{missing.pk}\t{missing.order_id}\t45.00 GBP",
            "Captures at the gateway: 0; in our books: 1. Differences repaired: 0; left to an operator: 1.",
        ]

    def test_ends_with_2_when_the_gateway_keeps_no_books(self):
        with pytest.raises(CommandError, match="The instant gateway keeps no books") as refusal:
            run("reconcile_payments")

        assert refusal.value.returncode == 2

    @pytest.mark.parametrize("problem", [TimedOut("no answer"), Unreachable("no route")], ids=["silent", "away"])
    def test_ends_with_3_when_the_gateway_could_not_be_asked(self, gateway, problem):
        gateway.problem = problem

        with pytest.raises(CommandError, match=f"The gateway could not be queried: {problem}") as failure:
            run("reconcile_payments")

        assert failure.value.returncode == 3

    def test_prints_one_json_object(self, unbooked):
        difference = row(
            "unbooked",
            unbooked,
            detail=f"4500 GBP by {unbooked.pk}",
            description=f"45.00 GBP by {unbooked.pk}",
        )

        assert run_json("reconcile_payments") == {"bookings": 1, "captures": 1, "repaired": [difference], "left": []}
        assert run_json("reconcile_payments") == {"bookings": 1, "captures": 1, "repaired": [], "left": []}

    def test_prints_one_json_object_of_what_it_leaves_too(self, missing):
        out = StringIO()

        with pytest.raises(SystemExit):
            run("reconcile_payments", "--json", out=out)

        difference = row("missing", missing, detail="4500 GBP", description="45.00 GBP")
        assert json.loads(out.getvalue()) == {"bookings": 0, "captures": 1, "repaired": [], "left": [difference]}

    def test_frames_its_table_on_a_terminal(self, unbooked):
        assert "│ unbooked │ repaired │" in run("reconcile_payments", out=Terminal())

    def test_asks_for_all_there_ever_was(self, gateway):
        run("reconcile_payments")

        assert gateway.asked == [None]

    def test_asks_for_what_happened_since_a_day_and_a_little_before(self, gateway):
        run("reconcile_payments", "--since", "2026-11-22T12:00+00:00")

        assert gateway.asked == [datetime(2026, 11, 21, 12, tzinfo=UTC)]

    def test_refuses_a_moment_that_is_none(self, gateway):
        with pytest.raises(CommandError, match="'lately' is not a date"):
            run("reconcile_payments", "--since", "lately")

        assert gateway.asked == []


class TestReconcileLately:
    def test_repairs_the_last_two_days(self, gateway, unbooked):
        begun = timezone.now()

        reconciliation.reconcile_lately()

        since, *_ = gateway.asked
        assert timedelta(days=3) <= begun - since + timedelta(seconds=5) <= timedelta(days=3, seconds=10)
        unbooked.refresh_from_db()
        assert unbooked.status == "succeeded"

    def test_logs_what_is_left_to_a_person(self, missing, caplog):
        reconciliation.reconcile_lately()

        (logged,) = [it for it in caplog.records if it.levelno == logging.ERROR]
        assert f"reference='instant-{missing.pk}'" in logged.getMessage()

    @pytest.mark.parametrize("problem", [TimedOut("no answer"), Unreachable("no route")], ids=["silent", "away"])
    def test_waits_for_the_next_hour_when_the_gateway_cannot_be_asked(self, gateway, unbooked, problem, caplog):
        gateway.problem = problem

        reconciliation.reconcile_lately()

        unbooked.refresh_from_db()
        assert (unbooked.status, captured()) == ("unknown", [])
        assert f"Payments were not reconciled: {problem}" in caplog.text

    def test_has_nothing_to_do_where_the_gateway_keeps_no_books(self, caplog):
        reconciliation.reconcile_lately()

        assert not [it for it in caplog.records if it.levelno >= logging.ERROR]

    def test_is_called_by_the_cluster_every_hour(self):
        chore = Schedule.objects.get(func="payments.reconciliation.reconcile_lately")

        assert (chore.schedule_type, chore.name) == ("H", "Reconcile payments with the gateway")


class TestReconcileSince:
    @pytest.fixture
    def dated(self, monkeypatch) -> LedgerGateway:
        remembering = DatedLedger()
        monkeypatch.setattr("payments.gateway.protocol.current", lambda: remembering)
        return remembering

    def test_leaves_out_what_both_books_had_before(self, dated):
        services.collect([payment_requested()], now=NOON - timedelta(days=30))

        assert reconcile(NOON) == ReconciliationReport(entries=0, captures=0, repaired=[], left=[])

    def test_looks_further_back_for_money_that_we_learned_of_lately(self, dated):
        services.collect([payment_requested(payment_method="tok_timeout")], now=NOON - timedelta(days=30))
        reconcile(None)

        assert reconcile(NOON - timedelta(days=2)) == ReconciliationReport(entries=1, captures=1, repaired=[], left=[])

    def test_finds_money_that_only_we_have_since_then(self, dated):
        services.collect([payment_requested()], now=NOON)
        dated.captured.clear()

        assert [it.kind for it in reconcile(NOON - timedelta(days=2)).left] == [DifferenceKind.MISSING]
        assert reconcile(NOON + timedelta(minutes=1)).left == []
