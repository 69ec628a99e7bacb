"""
The torture: customers order while everything fails that can, and when all is over the books agree to the penny.
"""

import json
import random
import time
from contextlib import suppress
from io import StringIO
from itertools import count

from django.core.management import call_command

from payments.simulator.behaviours import CHAOS, PREFIX
from tests.concurrency import accounts, verdict
from tests.concurrency.outages import Outages
from tests.concurrency.people import Customer, Operator
from tests.concurrency.premises import SEED, Plan, Shop
from tests.concurrency.saboteur import Saboteur, Vandal
from tests.programs import Cluster
from tests.waiting import eventually

PATIENCE_SECONDS = 300
LOOK_SECONDS = 0.5


def torment(cluster: Cluster) -> tuple[Saboteur, dict[str, int]]:
    """
    Strike the workers once in every way, and return how they recovered and what is wrong then.
    """
    dice = random.Random(SEED)
    customer = Customer(dice, ["tok_visa", "tok_visa", "tok_declined"])
    vandal = Vandal(cluster, dice)
    saboteur = Saboteur(customer, vandal.is_over)
    for harm in dice.sample(vandal.harms(), len(vandal.harms())):
        saboteur.strike(harm)
    eventually(accounts.are_ready, within=PATIENCE_SECONDS)
    return saboteur, accounts.findings(customer.expected)


class Torture:
    """
    One run of it, in the order of the methods.
    """

    def __init__(self, shop: Shop, plan: Plan) -> None:
        self.shop, self.plan, self.dice = shop, plan, random.Random(SEED)
        self.customer = Customer(self.dice, [f"{PREFIX}visa"], regrets=plan.regrets)
        self.operator = Operator(self.dice, takes_back=plan.takes_back)
        self.outages = Outages(shop, self.customer, burst=plan.burst)
        self.vandal = Vandal(shop.cluster, self.dice)
        self.saboteur = Saboteur(self.customer, self._is_whole, burst=plan.burst)

    def harm(self) -> None:
        """
        Have customers order, and do harm, until enough has happened.
        """
        end = time.monotonic() + self.plan.seconds
        for name in CHAOS * self.plan.of_each:
            self.customer.order(token=f"{PREFIX}{name}")
        for rounds in count(1):
            self._strike()
            if self._has_enough(rounds) or time.monotonic() > end:
                break
        while len(self.customer.placed) < self.plan.orders:
            self.customer.order(self.plan.burst)

    def finish(self) -> None:
        """
        Let everything come to its end, whatever a person has to do for that included.
        """
        eventually(self._is_over, within=PATIENCE_SECONDS, every=LOOK_SECONDS)
        self.dead_letters = verdict.dead_letters(self.shop.ledger)
        self.replayed = self.operator.replay(verdict.DISPUTED)
        eventually(self._is_over, within=PATIENCE_SECONDS, every=LOOK_SECONDS)
        self.left_dead = verdict.dead_letters(self.shop.ledger)
        self.reconciled = reconcile()
        eventually(self._is_over, within=PATIENCE_SECONDS, every=LOOK_SECONDS)
        self.reconciled_again = reconcile()

    def missing(self) -> list[str]:
        """
        Name the kinds of fault that never happened.
        """
        faults = self.shop.ledger.faults()
        return [name for name in CHAOS if not faults[name]]

    def _is_whole(self) -> bool:
        return self.vandal.is_over() and self.shop.is_whole()

    def _is_over(self) -> bool:
        return not self.operator.work() and verdict.is_over(self.shop.ledger)

    def _has_enough(self, rounds: int) -> bool:
        return rounds >= self.plan.rounds and len(self.customer.placed) >= self.plan.orders and not self.missing()

    def _strike(self) -> None:
        harms = [*self.vandal.harms(), *self.outages.harms()]
        chosen = [harm for harm in harms if not self.plan.harms or harm.__name__ in self.plan.harms]
        for harm in self.dice.sample(chosen, len(chosen)):
            self.saboteur.strike(harm)
            self.operator.work()


def reconcile() -> dict[str, list[dict[str, str]]]:
    """
    Reconcile by the command, and return what it tells of `repaired` and of `left`.
    """
    out = StringIO()
    with suppress(SystemExit):  # something is left to a person, which `left` says too
        call_command("reconcile_payments", json=True, stdout=out)
    return json.loads(out.getvalue())
