"""
The simulation: actions of customers, operator, provider, network and clock, in random order.
"""

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from messaging.models import Delivery

from .books import Books, ExpectedOrder
from .ending import finish, violations
from .process import CALLS
from .provider import FALSE_WEBHOOKS, FAULTS, Fault
from .simulated_shop import PRODUCTS, SimulatedShop, Work
from .statistics import Statistics

T = TypeVar("T")

INDEXES = st.integers(0, 30)
"""Which one of several candidates, modulo their number."""

BASKETS = st.dictionaries(st.sampled_from(sorted(PRODUCTS)), st.integers(1, 2), min_size=1, max_size=3)
METHODS = st.sampled_from([*["tok_visa", "tok_pending"] * 3, "tok_pending", "tok_declined", "tok_short_paid"])
WORK = st.sampled_from(Work)
TIMES = st.sampled_from([timedelta(seconds=it) for it in (2, 31, 2, 31, 180, 2, 31, 180, 660, 960, 3660)])
"""Longer than a backoff, a lease, a query's delay, the reminder, the deadline, the parking of webhooks."""

COMMITS = st.tuples(st.sampled_from(["commit", "claim"]), st.integers(0, 8))
PLACES = COMMITS | st.tuples(st.sampled_from(CALLS), st.just(0))
"""Where a process crashes or stalls: at one of the next commits, or at the next call of a kind."""

STEPS_PER_ORDER = 20
MAX_FALSE_WEBHOOKS = 2
MAX_REFUNDS = 2


def one_of(candidates: Sequence[T], index: int) -> T:
    return candidates[index % len(candidates)]


class Simulation(RuleBasedStateMachine):
    customer: ClassVar[int]
    statistics: ClassVar[Statistics]
    audit_every: ClassVar[int] = 1
    """The number of changes from one audit to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = SimulatedShop(self.customer, self.statistics)
        self.provider = self.shop.provider
        self.books = Books(self.provider, {sku: on_hand for sku, (on_hand, _) in PRODUCTS.items()})
        self.unaudited = 0
        self.steps = 0
        self.false_webhooks = 0

    def count(self, rule_name: str) -> None:
        self.steps += 1
        self.statistics.count(rule_name)

    @initialize(basket=BASKETS, method=METHODS)
    def begin(self, basket: dict[str, int], method: str) -> None:
        self.place(basket, method, Work.ALL)

    @precondition(lambda self: len(self.books.orders) <= self.steps // STEPS_PER_ORDER)
    @rule(basket=BASKETS, method=METHODS, then=WORK)
    def place(self, basket: dict[str, int], method: str, then: Work) -> None:
        self.count("order placed")
        order = self.shop.place(basket, method)
        self.books.orders[str(order.pk)] = ExpectedOrder(str(order.pk), basket, method, order.total)
        self.shop.work(then)

    @rule(how_much=st.sampled_from([Work.ALL, Work.A_BATCH]))
    def work(self, how_much: Work) -> None:
        self.count("drained" if how_much is Work.ALL else "delivered once")
        self.shop.work(how_much)

    @precondition(lambda self: self.books.cancellable)
    @rule(index=INDEXES, then=WORK)
    def cancel(self, index: int, then: Work) -> None:
        self.count("cancelled by customer")
        order = one_of(self.books.cancellable, index)
        order.cancellations += 1
        order.is_cancelled = self.shop.cancel(order.order_id)
        self.shop.work(then)

    @property
    def refundable(self) -> list:
        """
        Return the captured charges, except those that were refunded so often that another refund is no new case.
        """
        return [account for account in self.books.own_accounts("captured") if len(account.refunds) < MAX_REFUNDS]

    @precondition(lambda self: self.refundable)
    @rule(index=INDEXES, part=st.sampled_from(["part", "part", "all", "too much"]), then=WORK)
    def refund(self, index: int, part: str, then: Work) -> None:
        self.count(f"{part} refunded")
        account = one_of(self.refundable, index)
        amount = {"part": account.amount // 3, "all": None, "too much": account.amount + 1}[part]
        captured = sum(it.amount for it in self.books.accounts_of(account.order_id))
        refunded = self.shop.refund(account.order_id, amount, captured=captured)
        assert not (refunded and part == "too much"), f"{refunded} of {account} were refunded"
        self.books.orders[account.order_id].max_refunded += refunded
        self.shop.work(then)

    @precondition(lambda self: self.books.own_accounts("processing"))
    @rule(index=INDEXES, decision=st.sampled_from(["approved", "declined", "captured less"]), then=WORK)
    def decide(self, index: int, decision: str, then: Work) -> None:
        account = one_of(self.books.own_accounts("processing"), index)
        if account.is_forged and decision == "captured less":
            decision = "approved"  # once it has claimed the whole capture
        self.count(f"waiting charge {decision}")
        if decision == "declined":
            self.provider.decline(account.key)
        else:
            self.provider.approve(account.key, amount=account.amount - (decision == "captured less"))
        self.shop.work(then)

    @precondition(lambda self: self.books.own_accounts("cancelled"))
    @rule(index=INDEXES, then=WORK)
    def capture_late(self, index: int, then: Work) -> None:
        self.count("captured after cancellation")
        self.provider.approve(one_of(self.books.own_accounts("cancelled"), index).key)
        self.shop.work(then)

    @property
    def charged_once(self) -> list:
        return [it for it in self.books.own_accounts() if len(self.books.accounts_of(it.order_id)) == 1]

    @precondition(lambda self: self.charged_once)
    @rule(index=INDEXES)
    def pay_twice(self, index: int) -> None:
        self.count("paid twice")
        self.provider.capture_elsewhere(one_of(self.charged_once, index).key)

    @precondition(lambda self: self.provider.undelivered)
    @rule(index=INDEXES, then=WORK)
    def deliver_webhook(self, index: int, then: Work) -> None:
        self.count("callback")
        self.shop.deliver(one_of(self.provider.undelivered, index))
        self.shop.work(then)

    @precondition(lambda self: self.provider.delivered)
    @rule(index=INDEXES, altered=st.booleans(), then=WORK)
    def repeat_webhook(self, index: int, altered: bool, then: Work) -> None:  # noqa: FBT001
        self.count("callback altered" if altered else "callback repeated")
        webhook = one_of(self.provider.delivered, index)
        body = webhook.detail["body"].encode()
        accepted = self.shop.deliver(webhook, body=body.replace(b'"amount": ', b'"amount": 1') if altered else body)
        assert not (accepted and altered), "Two different webhooks were accepted with one id"
        self.shop.work(then)

    @precondition(lambda self: self.false_webhooks < MAX_FALSE_WEBHOOKS)
    @rule(index=INDEXES, kind=st.sampled_from(sorted(FALSE_WEBHOOKS)), then=WORK)
    def send_false_webhook(self, index: int, kind: str, then: Work) -> None:
        self.count(kind)
        self.false_webhooks += 1
        orders = [it.order_id for it in self.books.own_accounts("processing")] or list(self.books.orders)
        order_id = one_of(orders, index)
        key = next((account.key for account in self.books.accounts_of(order_id)), "")
        self.shop.deliver(self.provider.write_false_webhook(kind, order_id=order_id, key=key))
        self.shop.work(then)

    @rule(call_and_fault=st.sampled_from(FAULTS))
    def plan_fault(self, call_and_fault: tuple[str, Fault]) -> None:
        self.count("a fault is planned")
        call, fault = call_and_fault
        self.provider.faults[call].append(fault)

    @rule(place=PLACES, failure=st.sampled_from(["crash before", "crash after", "asleep after"]))
    def plan_failure(self, place: tuple[str, int], failure: str) -> None:
        self.count("a crash or a stall is planned")
        self.shop.process.plan(*place, failure)

    @rule(chore=st.sampled_from(["reconciled", "dead letters replayed"]))
    def maintain(self, chore: str) -> None:
        self.count(chore)
        self.shop.reconcile() if chore == "reconciled" else self.shop.replay()

    @rule(time=TIMES)
    def advance(self, time: timedelta) -> None:
        self.count("time passed")
        self.shop.advance(time)

    @invariant()
    def records_agree(self) -> None:
        if not self.shop.process.has_written:
            return
        self.shop.process.has_written = False
        self.books.check()
        self.unaudited += 1
        if self.unaudited >= self.audit_every:
            self.unaudited = 0
            violated = violations(self.shop, self.books)
            assert not violated, violated

    def teardown(self) -> None:
        try:
            if sys.exc_info()[1] is None:
                self._finish()
        finally:
            self.statistics.note_failure(sys.exc_info()[1])
            self.shop.close()

    def _finish(self) -> None:
        letters = Delivery.objects.filter(status=Delivery.Status.DEAD).values_list("error_class", flat=True)
        for letter in letters:
            self.statistics.count(f"dead letter: {letter}")
        finish(self.shop, self.books)
        self.statistics.lengths[self.steps] += 1
