"""
The simulation: whatever people, the bank, the network and the clock may do, in every order.
"""

import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from messaging.models import Delivery
from payments.gateway.protocol import Outcome

from .bank import CLAIMS, LIES
from .books import Books, Story
from .ending import finish, violations
from .faults import Fault
from .process import CALLS
from .scene import SHELF, Scene, Work
from .tally import Tally

T = TypeVar("T")

SOME = st.integers(0, 30)
"""Which one of several, counted round."""

BASKETS = st.dictionaries(st.sampled_from(sorted(SHELF)), st.integers(1, 2), min_size=1, max_size=3)
METHODS = st.sampled_from(["tok_visa", "tok_pending", "tok_pending", "tok_visa", "tok_pending", "tok_declined"])
WORK = st.sampled_from(Work)
TIMES = st.sampled_from([timedelta(seconds=it) for it in (2, 31, 2, 31, 180, 2, 31, 180, 660, 960, 3660)])
"""Past a backoff, a lease, an ask, the reminder, the deadline, the parking of webhooks."""

COMMITS = st.tuples(st.sampled_from(["commit", "claim"]), st.integers(0, 8))
PLACES = COMMITS | st.tuples(st.sampled_from(CALLS), st.just(0))
"""Where a process may die or sleep: at one of the next commits, or at the next call of a kind."""

STEPS_PER_ORDER = 20
LIES_PER_STORY = 2


def one_of(candidates: Sequence[T], number: int) -> T:
    return candidates[number % len(candidates)]


class Simulation(RuleBasedStateMachine):
    customer: ClassVar[int]
    tally: ClassVar[Tally]
    audit_every: ClassVar[int] = 1
    """How many steps that changed something go by until the audit looks again."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(self.customer, self.tally)
        self.bank = self.scene.bank
        self.books = Books(self.bank, {sku: on_hand for sku, (on_hand, _) in SHELF.items()})
        self.unaudited = 0
        self.steps = 0

    def did(self, what: str) -> None:
        self.steps += 1
        self.tally.happened(what)

    @initialize(basket=BASKETS, method=METHODS)
    def begin(self, basket: dict[str, int], method: str) -> None:
        self.place(basket, method, Work.ALL)

    @precondition(lambda self: len(self.books.stories) <= self.steps // STEPS_PER_ORDER)
    @rule(basket=BASKETS, method=METHODS, then=WORK)
    def place(self, basket: dict[str, int], method: str, then: Work) -> None:
        self.did("order placed")
        order = self.scene.place(basket, method)
        self.books.stories[str(order.pk)] = Story(str(order.pk), basket, method, order.total)
        self.scene.work(then)

    @rule(how_much=st.sampled_from([Work.ALL, Work.A_BATCH]))
    def work(self, how_much: Work) -> None:
        self.did("drained" if how_much is Work.ALL else "delivered once")
        self.scene.work(how_much)

    @precondition(lambda self: self.books.not_called_off)
    @rule(which=SOME, then=WORK)
    def cancel(self, which: int, then: Work) -> None:
        self.did("cancelled by customer")
        story = one_of(self.books.not_called_off, which)
        story.calls_off += 1
        story.is_called_off = self.scene.cancel(story.order_id)
        self.scene.work(then)

    @precondition(lambda self: self.bank.refundable)
    @rule(which=SOME, part=st.sampled_from(["part", "part", "all", "too much"]), then=WORK)
    def give_back(self, which: int, part: str, then: Work) -> None:
        self.did(f"{part} refunded")
        entry = one_of(self.bank.refundable, which)
        amount = {"part": entry.amount // 3, "all": None, "too much": entry.amount + 1}[part]
        given = self.scene.give_back(entry.order_id, amount)
        assert not (given and part == "too much"), f"{given} of {entry} were given back"
        self.books.stories[entry.order_id].given_back += given
        self.scene.work(then)

    @precondition(lambda self: self.bank.those(Outcome.PROCESSING, Outcome.CANCELLED))
    @rule(which=SOME, approves=st.booleans(), then=WORK)
    def decide(self, which: int, approves: bool, then: Work) -> None:  # noqa: FBT001
        entry = one_of(self.bank.those(Outcome.PROCESSING, Outcome.CANCELLED), which)
        if entry.outcome is Outcome.CANCELLED:
            self.did("captured after cancellation")
            self.bank.decide(entry, Outcome.SUCCEEDED)
        else:
            self.did("waiting charge approved" if approves else "waiting charge declined")
            self.bank.decide(entry, Outcome.SUCCEEDED if approves else Outcome.DECLINED)
        self.scene.work(then)

    @precondition(lambda self: self.bank.paid_once)
    @rule(which=SOME)
    def pay_twice(self, which: int) -> None:
        self.did("paid twice")
        self.bank.capture_another(one_of(self.bank.paid_once, which))

    @precondition(lambda self: self.bank.owed)
    @rule(which=SOME, then=WORK)
    def call_back(self, which: int, then: Work) -> None:
        self.did("callback")
        self.scene.call_back(one_of(self.bank.owed, which))
        self.scene.work(then)

    @precondition(lambda self: self.bank.told)
    @rule(which=SOME, altered=st.booleans(), then=WORK)
    def repeat_a_callback(self, which: int, altered: bool, then: Work) -> None:  # noqa: FBT001
        self.did("callback altered" if altered else "callback repeated")
        body = one_of(self.bank.told, which)
        taken = self.scene.call_back(body.replace(b'"amount": ', b'"amount": 1') if altered else body)
        assert not (taken and altered), "An id stands for two different webhooks"
        self.scene.work(then)

    @precondition(lambda self: self.bank.lies < LIES_PER_STORY)
    @rule(which=SOME, lie=st.sampled_from([*LIES, *CLAIMS]), then=WORK)
    def claim_wrongly(self, which: int, lie: str, then: Work) -> None:
        self.did(lie)
        orders = [entry.order_id for entry in self.bank.those(Outcome.PROCESSING)] or list(self.books.stories)
        self.scene.call_back(self.bank.lie(one_of(orders, which), lie))
        self.scene.work(then)

    @rule(fault=st.sampled_from(Fault))
    def expect(self, fault: Fault) -> None:
        self.did("something is to go wrong")
        self.scene.faults.expect(fault)

    @rule(place=PLACES, fate=st.sampled_from(["crash before", "crash after", "asleep after"]))
    def doom(self, place: tuple[str, int], fate: str) -> None:
        self.did("a process is to die or to sleep")
        self.scene.process.doom(*place, fate)

    @rule(chore=st.sampled_from(["reconciled", "dead letters replayed"]))
    def clear_up(self, chore: str) -> None:
        self.did(chore)
        self.scene.reconcile() if chore == "reconciled" else self.scene.replay()

    @rule(time=TIMES)
    def let_pass(self, time: timedelta) -> None:
        self.did("time passed")
        self.scene.let_pass(time)

    @invariant()
    def all_is_well(self) -> None:
        if not self.scene.process.has_written:
            return
        self.scene.process.has_written = False
        self.books.look()
        self.unaudited += 1
        if self.unaudited >= self.audit_every:
            self.unaudited = 0
            violated = violations(self.scene)
            assert not violated, violated

    def teardown(self) -> None:
        try:
            if sys.exc_info()[1] is None:
                self._finish()
        finally:
            self.tally.note(sys.exc_info()[1])
            self.scene.close()

    def _finish(self) -> None:
        letters = Delivery.objects.filter(status=Delivery.Status.DEAD).values_list("error_class", flat=True)
        for letter in letters:
            self.tally.happened(f"dead letter: {letter}")
        finish(self.scene, self.books)
        self.tally.lengths[self.steps] += 1
