"""The result of a torture run as two tables: what happened, and the violations, all of which have to be zero."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO

from django.db.models import Count
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from orders.models import Order
from shop.operations import audit
from tests.concurrency import consistency, mails, verdict
from tests.concurrency.fault_injector import FaultInjector
from tests.concurrency.faults import ClusterFaults
from tests.concurrency.torture import Torture
from tests.smtp_log import MailLog

Rows = dict[str, object]


@dataclass(frozen=True)
class TortureReport:
    happened: Rows
    violations: Mapping[str, int]

    def show(self, summarize: Callable[[str], None]) -> None:
        out = StringIO()
        console = Console(file=out, width=110)
        for title, rows in (("what happened", self.happened), ("violations", self.violations)):
            table = Table(title, "", title_justify="left", min_width=70)
            for name, value in rows.items():
                table.add_row(name, str(value))
            console.print(table)
        summarize(out.getvalue().rstrip())


def report_on(torture: Torture) -> TortureReport:
    return TortureReport(what_happened(torture), violations(torture) | audit_violations())


def what_happened(torture: Torture) -> Rows:
    ledger, faults = torture.shop.ledger, torture.shop.ledger.faults()
    times, amount = ledger.refunded()
    return {
        "orders placed": len(torture.customer.placed),
        **order_ends(),
        **{f"gateway fault: {name}": times for name, times in sorted(faults.items())},
        **recoveries(torture.injector),
        "takeovers from a killed worker": takeovers(torture.cluster_faults),
        "callbacks that failed and were repeated": ledger.failed_callbacks(),
        "refunds granted by the operator": len(torture.operator.granted),
        "refunds by status": listed(verdict.refunds_by_status()),
        "refunds repeated by the operator": torture.operator.repeated_refunds,
        "refunds in the gateway's ledger": f"{times}, of {amount} minor units",
        "money kept, in minor units": listed(verdict.kept_money(ledger)),
        **mails_sent(torture.shop.mails),
        "attempts that failed": listed(verdict.failed_attempts()),
        "of which without a reason": listed(verdict.failed_without_reason()),
        "dead letters, expected": listed(torture.dead_letters.expected),
        "dead letters, replayed": torture.replayed,
        "repaired by reconciliation": listed(Counter(it["kind"] for it in torture.reconciled["repaired"])),
    }


def violations(torture: Torture) -> dict[str, int]:
    ledger = torture.shop.ledger
    unexpected = torture.dead_letters.unexpected + torture.dead_after_replay.unexpected
    return {
        "orders lost": verdict.lost(torture.customer),
        **verdict.money_violations(torture.customer, torture.operator, ledger),
        "stuck": verdict.stuck(),
        "dead letters, unexpected": unexpected.total(),
        "dead letters, replayed in vain": torture.dead_after_replay.expected[verdict.DISPUTED],
        "disputes overlooked": verdict.overlooked_disputes(ledger),
        "attempts that failed without a reason": verdict.failed_without_reason().total(),
        "attempts used by outages": torture.server_faults.attempts_used_by_outages(),
        "differences left to a person": len(torture.reconciled["left"] + torture.reconciled_again["left"]),
        "differences repaired by a second reconciliation": len(torture.reconciled_again["repaired"]),
        **consistency.violations_for_any_end(),
        **mails.recorded_violations(torture.shop.mails),
        **mails.repetition_violations(torture.shop.mails, thaws=torture.cluster_faults.thaws),
        "errors of a locked database": torture.shop.logs().count("database is locked"),
    }


def audit_violations() -> dict[str, int]:
    """Audit as of now, and the checks of stock and orders as of tomorrow, when no row is excused by being recent."""
    now = timezone.now()
    checks = audit.run(now=now).results
    later = [result for result in audit.run(now=now + timedelta(days=1)).results if result.id[0] in "SO"]
    today = {f"audit: {it.id}": it.violations for it in checks if it.verdict != audit.Verdict.OK}
    tomorrow = {f"audit of tomorrow: {it.id}": it.violations for it in later if it.verdict != audit.Verdict.OK}
    unchecked = {"audit: O8 was not checked": 0 if any(result.id == "O8" for result in checks) else 1}
    return {"audit": len(today), "audit of tomorrow": len(tomorrow), **today, **tomorrow, **unchecked}


def order_ends() -> Rows:
    ends = Order.objects.values_list("status", "cancel_reason").annotate(Count("pk")).order_by("status")
    return {" ".join(filter(None, ["ended", status, reason])): count for status, reason, count in ends}


def mails_sent(log: MailLog) -> Rows:
    return {
        **{f"mail server: {stage} {action}": times for (stage, action), times in sorted(log.faults().items())},
        "mails accepted": len(log.accepted_ids()),
        "mails accepted again, whose reply was lost": len(mails.repetitions(log)) - mails.repeated_after_a_reply(log),
        "mails accepted again, whose worker was stopped": mails.repeated_after_a_reply(log),
    }


def recoveries(injector: FaultInjector) -> Rows:
    return {
        f"process fault: {name}": f"{len(seconds)} times, served again after at most {max(seconds):.1f} s"
        for name, seconds in injector.recoveries.items()
    }


def takeovers(faults: ClusterFaults) -> str:
    if not faults.takeovers:
        return "none"
    return f"{len(faults.takeovers)} times, its claims were due after at most {max(faults.takeovers):.1f} s"


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
