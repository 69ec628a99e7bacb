"""
The whole shop in one process: its people, its bank and its clock, and all that they do.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import TypeVar

import pytest
from django.db import connection, transaction
from django.utils import timezone

from inventory.services import open_stock_items
from messaging.claims import lease
from messaging.models import Delivery
from messaging.relay import Relay
from orders import placing, services
from orders.models import Order, Product
from payments import reconciliation, refunds
from payments.gateway import protocol
from payments.webhooks import inbox
from tests.concurrency.boundaries import Crash
from tests.factories import BASE_URL, make_customer, make_draft

from .bank import Bank
from .clock import START, Clock
from .faults import Faults
from .pool import OneByOne
from .process import Process, watched
from .tally import Tally

T = TypeVar("T")

SHELF = {"RED-CHAIR": (2, 4_500), "OAK-TABLE": (3, 12_900), "CATALOGUE": (4, 0)}
"""What the shop opens with: how many of each product, and its price."""

HOUR = timedelta(hours=1)


class Work(StrEnum):
    """
    How much of what is due the relay delivers before anything else happens.
    """

    ALL = "all"
    NOTHING = "nothing"
    A_BATCH = "a batch"


def open_the_shop() -> int:
    """
    Fill the shelf, the evening before all stories, and return the id of the customer whom they are about.
    """
    evening = Clock(START - timedelta(hours=12))
    with told_by(evening):
        services.add_products([Product(sku=sku, name=sku, price=price) for sku, (_, price) in SHELF.items()])
        for sku, (on_hand, _) in SHELF.items():
            open_stock_items([sku], opening=on_hand, now=evening())
        Relay(clock=evening).drain()
        return make_customer().pk


@contextmanager
def told_by(clock: Clock) -> Iterator[None]:
    """
    Let this clock tell the time and make the ids.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", clock)
        patch.setattr("messaging.kernel.ids.uuid7", clock.new_id)
        patch.setattr("messaging.relay.time", SimpleNamespace(monotonic=lambda: clock().timestamp()))
        patch.setattr("payments.gateway.calls.ThreadPoolExecutor", OneByOne)
        patch.setattr("notifications.services.ThreadPoolExecutor", OneByOne)
        yield


class Scene:
    """
    A shop that was opened, from the morning on; nothing of it is left when it is closed.
    """

    def __init__(self, customer: int, tally: Tally) -> None:
        self.customer, self.tally = customer, tally
        self.clock, self.process, self.faults = Clock(), Process(tally), Faults(tally)
        self.bank = Bank(self.clock, self.process, self.faults)
        self.process.meanwhile = self.take_over
        self.relay = Relay(clock=self.clock)
        self.orders = 0
        self.worked_at = self.reconciled_at = self.clock.moment
        self._opened = ExitStack()
        self._opened.enter_context(_rolled_back())
        self._opened.enter_context(told_by(self.clock))
        self._opened.enter_context(watched(self.process))
        patch = self._opened.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(protocol, "current", lambda: self.bank)

    def close(self) -> None:
        self._opened.close()

    def place(self, quantities: Mapping[str, int], payment_method: str) -> Order:
        self.orders += 1
        draft = make_draft(
            quantities,
            customer_id=self.customer,
            idempotency_key=f"order {self.orders}",
            payment_method=payment_method,
        )
        return self.insist_on(lambda: placing.place_order(draft, now=self.clock(), base_url=BASE_URL)).order

    def cancel(self, order_id: str) -> bool:
        """
        Cancel an order on its customer's word, and tell whether it is cancelled.
        """

        def cancel() -> bool:
            try:
                services.cancel_order(order_id, reason=Order.CancelReason.BY_CUSTOMER, now=self.clock())
            except services.AlreadyCancelled:
                return True
            except services.CannotCancel:
                return False
            return True

        return self.insist_on(cancel)

    def give_back(self, order_id: str, amount: int | None) -> int:
        """
        Refund some or all of an order on the operator's word, and tell how much he may have got.

        Nobody asks again if the process dies of it: the operator looks first.
        """
        try:
            owed = refunds.refund(order_id, amount=amount, reason="goodwill", now=self.clock())
        except refunds.RefundExceedsCapture:
            return 0
        except Crash:
            self.begin_anew()
            return amount or sum(entry.amount for entry in self.bank.of_order(order_id))
        return sum(refund.amount for refund in owed)

    def call_back(self, body: bytes) -> bool:
        """
        Deliver a webhook and tell whether it was taken; if the process dies of it, the bank still owes it.
        """
        try:
            inbox.receive(body, {}, now=self.clock())
        except Crash:
            self.begin_anew()
            return False
        except inbox.EventIdReused:
            return False
        if body in self.bank.owed:
            self.bank.owed.remove(body)
            self.bank.told.append(body)
        return True

    def work(self, how_much: Work) -> None:
        if how_much is Work.ALL:
            self.drain()
        elif how_much is Work.A_BATCH:
            self.work_off()

    def work_off(self) -> None:
        """
        Deliver one batch to every subscriber, as far as the process lives.
        """
        try:
            self.relay.deliver_due()
        except Crash:
            self.begin_anew()

    def drain(self) -> None:
        self.insist_on(lambda: self.relay.drain(timeout=3_600))
        self.worked_at = self.clock.moment

    def take_over(self) -> None:
        """
        Let another worker deliver what this one holds for longer than its lease.
        """
        self.clock.advance(lease() + timedelta(seconds=1))
        with suppress(Crash):
            Relay(clock=self.clock).drain(timeout=3_600)

    def reconcile(self) -> None:
        self.insist_on(reconciliation.reconcile_lately)
        self.reconciled_at = self.clock.moment

    def replay(self) -> int:
        return self.insist_on(lambda: Delivery.objects.replay(self.clock()))

    def let_pass(self, time: timedelta) -> None:
        """
        Let time pass; no relay rests for longer than a lease, and the books are reconciled every hour.
        """
        self.clock.advance(time)
        if self.clock.moment - self.worked_at > lease():
            self.drain()
        if self.clock.moment - self.reconciled_at > HOUR:
            self.reconcile()
            self.drain()

    def insist_on(self, step: Callable[[], T]) -> T:
        """
        Take the step; if the process dies of it, take it again in a new one.
        """
        while True:
            try:
                return step()
            except Crash:
                self.begin_anew()

    def begin_anew(self) -> None:
        """
        Forget all that a process had in mind.
        """
        connection.run_on_commit.clear()
        self.relay = Relay(clock=self.clock)


@contextmanager
def _rolled_back() -> Iterator[None]:
    savepoint = transaction.savepoint()
    try:
        yield
    finally:
        connection.needs_rollback = False
        transaction.savepoint_rollback(savepoint)
        transaction.savepoint_commit(savepoint)
        connection.run_on_commit.clear()
