"""
Customers place orders while every fault is injected; in the end the shop's records agree with the gateway's ledger.
"""

import json
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from itertools import count

from django.core.management import call_command

from payments.simulator.behaviours import CHAOS, PREFIX
from tests.concurrency import consistency, verdict
from tests.concurrency.customers import LocalCustomer, Operator
from tests.concurrency.fault_injector import Fault, FaultInjector
from tests.concurrency.faults import ClusterFaults, ServerFaults
from tests.concurrency.running_shop import SEED, Plan, RunningShop
from tests.programs import Cluster
from tests.waiting import eventually

PATIENCE_SECONDS = 300
POLL_SECONDS = 0.5


def inject_cluster_faults(cluster: Cluster) -> tuple[FaultInjector, dict[str, int]]:
    """Inject each fault of the cluster once. Return the injector, and the number of violations by kind."""
    rng = random.Random(SEED)
    customer = LocalCustomer(rng, ["tok_visa", "tok_visa", "tok_declined"])
    faults = ClusterFaults(cluster, rng)
    injector = FaultInjector(customer, faults.are_over)
    for fault in rng.sample(faults.every_fault(), len(faults.every_fault())):
        injector.inject(fault)
    eventually(consistency.all_ended, within=PATIENCE_SECONDS)
    return injector, consistency.violations(customer.expected)


class Torture:
    """One run: `inject_faults`, then `finish`."""

    tokens: Sequence[str] = CHAOS
    """The names of the faults of the gateway that have to happen."""

    def __init__(self, shop: RunningShop, plan: Plan) -> None:
        self.shop, self.plan, self.rng = shop, plan, random.Random(SEED)
        self.customer = LocalCustomer(self.rng, [f"{PREFIX}visa"], cancel_share=plan.cancel_share)
        self.operator = Operator(self.rng, refund_share=plan.refund_share)
        self.server_faults = ServerFaults(shop, self.customer, burst=plan.burst)
        self.cluster_faults = ClusterFaults(shop.cluster, self.rng)
        self.injector = FaultInjector(self.customer, self._is_complete, burst=plan.burst)

    def inject_faults(self) -> None:
        """Place orders and inject faults until the plan is fulfilled."""
        end = time.monotonic() + self.plan.seconds
        for name in [*self.tokens] * self.plan.of_each:
            self.customer.order(token=f"{PREFIX}{name}")
        for rounds in count(1):
            self._inject_each_fault()
            if self._has_enough(rounds) or time.monotonic() > end:
                break
        while len(self.customer.placed) < self.plan.orders:
            self.customer.order(self.plan.burst)

    def finish(self) -> None:
        """
        Wait until nothing is outstanding, with the operator's work, a replay of disputed webhooks and reconciliation.
        """
        self._wait_until_over()
        self.dead_letters = verdict.dead_letters(self.shop.ledger)
        self.replayed = self.operator.replay(verdict.DISPUTED)
        self._wait_until_over()
        self.dead_after_replay = verdict.dead_letters(self.shop.ledger)
        self.reconciled = reconcile()
        self._wait_until_over()
        self.reconciled_again = reconcile()

    def chosen_faults(self) -> Sequence[Fault]:
        """Return the faults that the plan names, or all."""
        faults = [*self.cluster_faults.every_fault(), *self.server_faults.every_fault()]
        return [fault for fault in faults if not self.plan.faults or fault.__name__ in self.plan.faults]

    def missing_faults(self) -> list[str]:
        """Return the gateway's faults that never happened."""
        faults = self.shop.ledger.faults()
        return [name for name in self.tokens if not faults[name]]

    def _wait_until_over(self) -> None:
        eventually(self._is_over, within=PATIENCE_SECONDS, every=POLL_SECONDS)

    def _is_complete(self) -> bool:
        return self.cluster_faults.are_over() and self.shop.is_complete()

    def _is_over(self) -> bool:
        return not self.operator.work() and verdict.is_over(self.shop.ledger)

    def _has_enough(self, rounds: int) -> bool:
        placed = len(self.customer.placed)
        return rounds >= self.plan.rounds and placed >= self.plan.orders and not self.missing_faults()

    def _inject_each_fault(self) -> None:
        chosen = self.chosen_faults()
        for fault in self.rng.sample(chosen, len(chosen)):
            self.injector.inject(fault)
            self.operator.work()


def reconcile() -> dict[str, list[dict[str, str]]]:
    """Run the command, and return its lists `repaired` and `left`."""
    out = StringIO()
    with suppress(SystemExit):  # a difference is left to a person, and listed in `left`
        call_command("reconcile_payments", json=True, stdout=out)
    return json.loads(out.getvalue())
