"""
Recorded audits: what they store, show and mail, when they run, and that they end in time.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils import timezone
from django_q.models import Schedule

from messaging.kernel.process_locks import only_one
from messaging.models import OutboxMessage
from orders.models import Order
from shop.monitoring.metrics import render_metrics
from shop.operations import audit, recorded_audits
from shop.operations.audit.report import OUT_OF_TIME
from shop.operations.models import AuditRun, AuditViolation
from shop.operations.recorded_audits import audit_daily, record
from tests.commands import run
from tests.factories import make_stock, place_order
from tests.operators import concerns_of, listed_at
from tests.outbox import counting_statements, full_disk_at
from tests.shop.monitoring.test_metrics import every_sample
from tests.threads import at_once

O2 = "an order's total is the sum of price × quantity"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _operator(settings) -> None:
    settings.SHOP = replace(settings.SHOP, operator_email="olga@example.com", name="Ada's Chairs")


@pytest.fixture
def order() -> Order:
    """
    An order that was just placed.
    """
    make_stock()
    return place_order()


@pytest.fixture
def clock(monkeypatch):
    """
    Set the time of the scheduled audit.
    """
    return lambda *moment: monkeypatch.setattr(
        recorded_audits.timezone, "now", lambda: datetime(2030, 1, *moment, tzinfo=UTC)
    )


def violations() -> set[tuple[str, str]]:
    return set(AuditViolation.objects.values_list("rule", "subject"))


def spoil(*orders: Order) -> None:
    """
    Violate O2 by these orders.
    """
    Order.objects.filter(pk__in=[order.pk for order in orders]).update(total=F("total") + 1)


def repair(order: Order) -> None:
    Order.objects.filter(pk=order.pk).update(total=order.total)


def metric(name: str) -> dict[tuple[str, ...], float]:
    return dict(every_sample(render_metrics(timezone.now()).decode())[name])


class TestARecordedAudit:
    def test_is_stored_with_its_state_and_the_result_of_each_check(self, order):
        record(now=(began := timezone.now()))

        [audited] = AuditRun.objects.all()
        assert (audited.started_at, audited.verdict) == (began, "unknown")
        assert audited.last_message == OutboxMessage.objects.latest("pk").pk
        assert [check["id"] for check in audited.report["checks"]] == [check.id for check in audit.CHECKS]
        assert 0 < audited.seconds < 60

    def test_shows_a_violation_until_it_is_repaired(self, order, admin_client):
        spoil(order)
        record(now=timezone.now())

        concern = concerns_of(admin_client)[f"Violations of O2: {O2}"]
        [violation] = AuditViolation.objects.all()
        assert (violation.subject, concern.count) == (str(order.pk), 1)
        assert listed_at(admin_client, concern.url) == {violation.pk}
        link = f'<a href="/admin/orders/order/{order.pk}/change/">{order.pk}</a>'
        assert link in admin_client.get(concern.url).content.decode()
        assert metric("shop_audit_violations") == dict.fromkeys([(rule,) for rule in audit.RULES], 0) | {("O2",): 1}

        repair(order)
        record(now=timezone.now())

        assert (violations(), [title for title in concerns_of(admin_client) if "O2" in title]) == (set(), [])
        assert metric("shop_audit_violations")["O2",] == 0

    def test_is_shown_with_its_examples(self, order, admin_client):
        spoil(order)
        record(now=timezone.now())

        page = admin_client.get(f"/admin/operations/auditrun/{AuditRun.objects.get().pk}/change/").content.decode()

        assert f"violation O2: {O2.replace(chr(39), '&#x27;')}, 1 rows, 1 violations, for example" in page
        assert "O2: 1" in admin_client.get("/admin/operations/auditrun/").content.decode()

    def test_mails_the_operator_once_about_what_is_new(self, order, drain):
        spoil(order)
        for _ in range(3):
            record(now=timezone.now())
        drain()

        [message] = [message for message in mail.outbox if "audit" in message.subject]
        assert (message.to, message.subject) == (["olga@example.com"], "The audit found 1 new violation of O2")
        assert message.body == (
            f"O2: {O2}. New: 1\n  {order.pk}\n\n"
            "All of them, with links: http://127.0.0.1:8000/admin/operations/auditviolation/\n\n"
            "After a repair, this checks again and forgets what is in order:\n\n"
            "  python manage.py audit --record\n\n"
            "These violations are not reported again while they last.\n\nAda's Chairs\n"
        )

    def test_mails_again_what_comes_back_after_a_repair(self, order, drain):
        for _ in range(2):
            spoil(order)
            record(now=timezone.now())
            repair(order)
            record(now=timezone.now())
        drain()

        assert len([message for message in mail.outbox if "audit" in message.subject]) == 2

    def test_stores_nothing_without_its_mail(self, order):
        spoil(order)

        with full_disk_at("notifications_notification"), pytest.raises(DatabaseError), transaction.atomic():
            record(now=timezone.now())

        assert (violations(), AuditRun.objects.count()) == (set(), 0)
        record(now=timezone.now())
        assert violations() == {("O2", str(order.pk))}

    def test_forgets_audits_after_the_retention_time(self):
        now = timezone.now()
        for days in (31, 29):
            record(now=now - timedelta(days=days))

        record(now=now)

        ages = [(now - audited.started_at).days for audited in AuditRun.objects.order_by("started_at")]
        assert ages == [29, 0]

    def test_takes_no_more_statements_for_more_violations(self, order):
        others = [place_order() for _ in range(4)]
        spoil(order)
        with counting_statements() as for_one:
            record(now=timezone.now())
        spoil(*others)
        with counting_statements() as for_four:
            record(now=timezone.now())

        assert len(violations()) == 5
        assert len(for_four) == len(for_one)


class TestTimeLimit:
    def test_ends_the_audit_and_keeps_what_earlier_ones_found(self, order):
        spoil(order)
        record(now=timezone.now())

        report = record(now=timezone.now(), seconds=1e-6)

        assert {(result.verdict, result.reason) for result in report.results} == {("unknown", OUT_OF_TIME)}
        assert violations() == {("O2", str(order.pk))}

    def test_cancels_the_statement_that_runs_and_goes_on_with_the_next_check(self, order, monkeypatch):
        def count_for_ever(now: datetime) -> audit.report.Finding:
            with connection.cursor() as cursor:
                cursor.execute(
                    "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)"
                    " SELECT count(*) FROM numbers"
                )
            raise AssertionError

        first, *others = audit.CHECKS
        monkeypatch.setattr(audit.report, "CHECKS", [first._replace(examine=count_for_ever), *others])

        report = audit.run(now=timezone.now(), seconds=2, with_statement=False)

        reasons = {result.id: result.reason for result in report.results}
        assert reasons.pop(first.id) == OUT_OF_TIME
        assert set(reasons.values()) <= {"", "there are no rows to check yet"}


class TestSchedule:
    def test_is_hourly_and_runs_once_a_day_at_its_hour(self, order, clock):
        schedule = Schedule.objects.get(name="Audit the shop")
        assert (schedule.func, schedule.schedule_type) == ("shop.operations.recorded_audits.audit_daily", "H")

        ran = []
        for moment in [(1, 2, 40), (1, 3, 40), (1, 4, 40), (2, 2, 40), (2, 3, 40)]:
            clock(*moment)
            audit_daily()
            ran.append(AuditRun.objects.count())

        assert ran == [1, 2, 2, 2, 3]

    def test_catches_up_after_the_cluster_was_down(self, order, clock):
        clock(1, 3, 40)
        audit_daily()
        clock(2, 17, 40)
        audit_daily()

        assert AuditRun.objects.count() == 2

    def test_reads_no_books_of_the_gateway(self, order, ledger, clock):
        clock(1, 3, 40)
        audit_daily()

        assert "O8" not in {check["id"] for check in AuditRun.objects.get().report["checks"]}


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_are_refused(self):
        with only_one(recorded_audits.LOCK):
            refused, skipped = at_once(lambda: record(now=timezone.now()), audit_daily)
        assert (str(refused), skipped) == ("Another process is recording an audit.", None)
        assert AuditRun.objects.count() == 0

        record(now=timezone.now())
        assert AuditRun.objects.count() == 1


class TestCommand:
    def test_stores_the_result(self, order):
        with pytest.raises(SystemExit):  # unknown
            run("audit", "--record")

        assert AuditRun.objects.count() == 1
