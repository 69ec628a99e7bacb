"""
What came of the torture, in a table: what happened, and what is wrong, of which there has to be nothing.
"""

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
from tests.concurrency import accounts, verdict
from tests.concurrency.saboteur import Saboteur
from tests.concurrency.torture import Torture

Rows = dict[str, object]


@dataclass(frozen=True)
class Report:
    happened: Rows
    wrong: Mapping[str, int]

    def show(self, tell: Callable[[str], None]) -> None:
        out = StringIO()
        console = Console(file=out, width=110)
        for title, rows in (("what happened", self.happened), ("what is wrong", self.wrong)):
            table = Table(title, "", title_justify="left", min_width=70)
            for name, value in rows.items():
                table.add_row(name, str(value))
            console.print(table)
        tell(out.getvalue().rstrip())


def judge(torture: Torture) -> Report:
    """
    Count, and audit.
    """
    return Report(what_happened(torture), wrongs(torture) | audits())


def what_happened(torture: Torture) -> Rows:
    ledger, faults = torture.shop.ledger, torture.shop.ledger.faults()
    times, amount = ledger.repaid()
    ends = Order.objects.values_list("status", "cancel_reason").annotate(Count("pk")).order_by("status")
    return {
        "orders placed": len(torture.customer.placed),
        **{" ".join(filter(None, ["ended", status, reason])): count for status, reason, count in ends},
        **{f"fault: {name}": times for name, times in sorted(faults.items())},
        **recoveries(torture.saboteur),
        "calls back that failed and were repeated": ledger.failed_calls(),
        "refunds granted by the operator": len(torture.operator.granted),
        "refunds by status": listed(verdict.refunds_by_status()),
        "refunds tried again by the operator": torture.operator.retries,
        "refunds in the gateway's ledger": f"{times}, of {amount} minor units",
        "money kept, in minor units": listed(verdict.kept(ledger)),
        "attempts that failed": listed(verdict.failures()),
        "dead letters, expected": listed(torture.dead_letters.expected),
        "dead letters, replayed": torture.replayed,
        "repaired by reconciliation": listed(kinds(torture.reconciled["repaired"])),
    }


def wrongs(torture: Torture) -> dict[str, int]:
    customer, operator, ledger = torture.customer, torture.operator, torture.shop.ledger
    failures = verdict.failures()
    replayed_in_vain = torture.left_dead.expected[verdict.DISPUTED]
    unexpected = torture.dead_letters.unexpected + torture.left_dead.unexpected
    return {
        "lost": verdict.lost(customer),
        **verdict.wrongs_of_money(customer, operator, ledger),
        "stuck": verdict.stuck(),
        "dead letters, unexpected": unexpected.total(),
        "dead letters, replayed in vain": replayed_in_vain,
        "disputes overlooked": verdict.overlooked_disputes(ledger),
        "attempts that failed for no reason": sum(failures[error] for error in failures.keys() - verdict.EXPLAINED),
        "attempts burnt by outages": torture.outages.burnt_attempts(),
        "differences left to a person": len(torture.reconciled["left"] + torture.reconciled_again["left"]),
        "differences repaired by a second reconciliation": len(torture.reconciled_again["repaired"]),
        **accounts.disorder(),
        "complaints of a locked database": torture.shop.logs().count("database is locked"),
    }


def audits() -> dict[str, int]:
    """
    Audit the shop as of now, and its orders and money as of tomorrow, when nothing is excused by being recent.
    """
    now = timezone.now()
    checks = audit.run(now=now).results
    later = [result for result in audit.run(now=now + timedelta(days=1)).results if result.id[0] in "SO"]
    found = {f"audit: {result.id}": result.violations for result in checks if result.verdict != audit.Verdict.OK}
    tomorrow = {f"audit of tomorrow: {it.id}": it.violations for it in later if it.verdict != audit.Verdict.OK}
    unheard = {"audit: O8 was not checked": 0 if any(result.id == "O8" for result in checks) else 1}
    return {"audit": len(found), "audit of tomorrow": len(tomorrow), **found, **tomorrow, **unheard}


def recoveries(saboteur: Saboteur) -> Rows:
    return {
        f"harm: {name}": f"{len(seconds)} times, served again after at most {max(seconds):.1f} s"
        for name, seconds in saboteur.recoveries.items()
    }


def kinds(differences: list[dict[str, str]]) -> Counter[str]:
    return Counter(difference["kind"] for difference in differences)


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
