"""
Orders through four services while they, their databases, the broker and the gateway are killed and frozen. In the end
the rows of all services are copied into one database, where they have to be what one program would have left.
"""

import json
import random
from collections.abc import Mapping, Sequence
from itertools import chain
from uuid import UUID

from django.db.models import Count

from inventory.models import Reservation
from notifications.models import Notification
from orders.models import Order
from payments.models import PaymentIntent
from payments.simulator.behaviours import PREFIX
from tests.concurrency import consistency, verdict
from tests.concurrency.customers import Operator
from tests.concurrency.fault_injector import Fault, FaultInjector
from tests.concurrency.report import TortureReport, audit_violations, listed, order_ends, recoveries
from tests.concurrency.running_shop import SEED, Plan
from tests.concurrency.torture import Torture
from tests.split import databases
from tests.split.customers import Customers
from tests.split.faults import SplitFaults
from tests.split.services import ALIVE_SECONDS, Services

GATEWAY_FAULTS = (
    *("declined", "insufficient_funds", "slow", "answer_lost_charged", "answer_lost_uncharged", "error_once"),
    *("rate_limited", "callback_twice", "callback_twenty", "callback_before_answer", "callback_reordered"),
    *("captured_twice", "never", "lookup_lost"),
)
EXPLAINED = verdict.EXPLAINED | {"Unavailable"}
"""Beside what may fail in one program, the broker may."""
TOKENS = ["visa"] * 14 + [*GATEWAY_FAULTS] + ["pending"] * 2


class SplitTorture(Torture):
    tokens = GATEWAY_FAULTS

    def __init__(self, shop: Services, plan: Plan) -> None:
        self.shop, self.plan, self.rng = shop, plan, random.Random(SEED)
        tokens = [f"{PREFIX}{name}" for name in TOKENS]
        self.customer = Customers(shop.proxy.address, shop.tokens, self.rng, tokens, cancel_share=plan.cancel_share)
        self.operator = Operator(self.rng, refund_share=plan.refund_share)
        self.faults = SplitFaults(shop, self.customer, self.rng, burst=plan.burst)
        self.injector = FaultInjector(self.customer, self.faults.are_over, burst=plan.burst, patience=ALIVE_SECONDS)

    def chosen_faults(self) -> Sequence[Fault]:
        """Return all faults; if the plan names some, those of services for one service each."""
        of_services, names = self.faults.of_services(), self.plan.faults
        if not names:
            return [*chain.from_iterable(of_services.values()), *self.faults.of_all()]
        chosen = [self.rng.choice(faults) for name, faults in of_services.items() if name in names]
        return chosen + [fault for fault in self.faults.of_all() if fault.__name__ in names]

    def missing_faults(self) -> list[str]:
        """Return what had to go wrong and never did."""
        happened = {
            "an event that the broker did not accept": databases.refused_by_the_broker(),
            "a cancellation": self.customer.cancelled,
            "a product that is sold out": "" in self.customer.placed.values(),
        }
        return super().missing_faults() + [name for name, times in happened.items() if not times]

    def finish(self) -> None:
        """Wait until nothing is outstanding, and copy the rows of all services into the database of the test."""
        self._wait_until_over()
        self.received = databases.received()
        databases.copy_into_one()
        self.dead_letters = verdict.dead_letters(self.shop.ledger)

    def _is_complete(self) -> bool:
        return self.faults.are_over()

    def _is_over(self) -> bool:
        ledger = self.shop.ledger
        return ledger.is_idle() and not databases.stuck() and not databases.in_transit() and ledger.is_idle()


def report_on(torture: SplitTorture) -> TortureReport:
    return TortureReport(
        what_happened(torture), violations(torture) | operators_audit(torture.shop) | audit_violations()
    )


def operators_audit(shop: Services) -> dict[str, int]:
    """Return the exit status of the audit over the four databases, and what it has not found to be right."""
    audit = shop.audit()
    assert audit.output, audit.errors
    wrong = {check["id"]: check for check in json.loads(audit.output)["checks"] if check["verdict"] != "ok"}
    return {
        "exit status of the audit over four databases": audit.status,
        **{f"audit over four databases: {id_} {it['verdict']}": it["violations"] for id_, it in wrong.items()},
    }


def what_happened(torture: SplitTorture) -> Mapping[str, object]:
    ledger, customer = torture.shop.ledger, torture.customer
    times, amount = ledger.refunded()
    mails = Notification.objects.values_list("status").annotate(Count("pk"))
    return {
        "orders placed": len(customer.placed),
        **order_ends(),
        **{f"gateway fault: {name}": times for name, times in sorted(ledger.faults().items())},
        **recoveries(torture.injector),
        "requests repeated": listed(customer.repeated),
        "callbacks that failed and were repeated": ledger.failed_callbacks(),
        "events received from other services": torture.received,
        "attempts that failed": listed(verdict.failed_attempts()),
        "of which without a reason": listed(verdict.failed_without_reason(EXPLAINED)),
        "notifications": listed(dict(mails.order_by("status"))),
        "money kept, in minor units": listed(verdict.kept_money(ledger)),
        "refunds in the gateway's ledger": f"{times}, of {amount} minor units",
        "refunds by status": listed(verdict.refunds_by_status()),
    }


def violations(torture: SplitTorture) -> dict[str, int]:
    customer, ledger = torture.customer, torture.shop.ledger
    orders = set(Order.objects.values_list("pk", flat=True))
    return {
        "orders lost": verdict.lost(customer),
        "orders doubled": len(orders - set(map(UUID, customer.placed))) + customer.answered_differently,
        "payments without an order": PaymentIntent.objects.exclude(order_id__in=orders).count(),
        "reservations without an order": Reservation.objects.exclude(order_id__in=orders).count(),
        "notifications without an order": Notification.objects.exclude(order_id__in=orders).count(),
        **verdict.money_violations(customer, torture.operator, ledger),
        "stuck": databases.stuck(),
        "events lost between services": databases.in_transit(),
        "events received out of order": databases.received_out_of_order(),
        "dead letters, unexpected": torture.dead_letters.unexpected.total(),
        "attempts that failed without a reason": verdict.failed_without_reason(EXPLAINED).total(),
        **consistency.violations_for_any_end(),
        "errors of a locked database": torture.shop.logs().count("database is locked"),
    }
