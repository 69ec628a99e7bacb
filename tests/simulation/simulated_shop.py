"""
The whole shop in one simulated process, with its customers, its operator, its provider and its clock.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import TypeVar

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from inventory.services import open_stock_items
from messaging.claims import lease
from messaging.models import Delivery
from messaging.relay import Relay
from notifications.connections import _free_connections
from orders import placing, services
from orders.models import Order, Product
from payments import reconciliation, refunds
from payments.gateway import protocol
from payments.simulator.ledger import LedgerEntry
from payments.webhooks import inbox
from tests.concurrency.boundaries import Crash
from tests.factories import BASE_URL, CustomerFactory, make_draft

from .clock import START, Clock
from .executor import SequentialExecutor
from .process import Process, watched
from .provider import SimulatedProvider
from .statistics import Statistics

T = TypeVar("T")

PRODUCTS = {"RED-CHAIR": (2, 4_500), "OAK-TABLE": (3, 12_900), "CATALOGUE": (4, 0)}
"""The opening stock and the price of each product."""

HOUR = timedelta(hours=1)


class Work(StrEnum):
    """
    How much of what is due the relay delivers before the next step.
    """

    ALL = "all"
    NOTHING = "nothing"
    A_BATCH = "a batch"


def open_shop() -> int:
    """
    Stock the shop before the first run, and return the id of a customer.
    """
    clock = Clock(START - timedelta(hours=12))
    with simulated_time(clock):
        services.add_products([Product(sku=sku, name=sku, price=price) for sku, (_, price) in PRODUCTS.items()])
        for sku, (on_hand, _) in PRODUCTS.items():
            open_stock_items([sku], opening=on_hand, now=clock())
        Relay(clock=clock).drain()
        return CustomerFactory().pk


@contextmanager
def simulated_time(clock: Clock) -> Iterator[None]:
    """
    Use this clock for times and ids, and no threads.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timezone, "now", clock)
        patch.setattr("messaging.kernel.ids.uuid7", clock.new_id)
        for module in ("messaging.relay", "notifications.sending"):
            patch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: clock().timestamp()))
        patch.setattr("payments.gateway.calls.ThreadPoolExecutor", SequentialExecutor)
        patch.setattr("notifications.sending.ThreadPoolExecutor", SequentialExecutor)
        patch.setattr(settings, "NOTIFICATIONS", replace(settings.NOTIFICATIONS, email_connections=1))
        yield


class SimulatedShop:
    """
    One run. Everything that it writes is rolled back when it is closed.
    """

    def __init__(self, customer: int, statistics: Statistics) -> None:
        self.customer, self.statistics = customer, statistics
        self.clock, self.process = Clock(), Process(statistics)
        self.provider = SimulatedProvider(self.clock, self.process)
        self.process.meanwhile = self.take_over
        self.relay = Relay(clock=self.clock)
        self.orders = 0
        self.drained_at = self.reconciled_at = self.clock.moment
        self._contexts = ExitStack()
        self._contexts.enter_context(_rolled_back())
        self._contexts.enter_context(simulated_time(self.clock))
        self._contexts.enter_context(watched(self.process))
        patch = self._contexts.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(protocol, "current", lambda: self.provider)
        self.reconcile()

    def close(self) -> None:
        self._contexts.close()

    def place(self, quantities: Mapping[str, int], payment_method: str) -> Order:
        self.orders += 1
        draft = make_draft(
            quantities,
            customer_id=self.customer,
            idempotency_key=f"order {self.orders}",
            payment_method=payment_method,
        )
        return self.retry(lambda: placing.place_order(draft, now=self.clock(), base_url=BASE_URL)).order

    def cancel(self, order_id: str) -> bool:
        """
        Cancel an order for its customer, and return whether it is cancelled.
        """

        def cancel() -> bool:
            try:
                services.cancel_order(order_id, reason=Order.CancelReason.BY_CUSTOMER, now=self.clock())
            except services.AlreadyCancelled:
                return True
            except services.CannotCancel:
                return False
            return True

        return self.retry(cancel)

    def refund(self, order_id: str, amount: int | None, *, captured: int) -> int:
        """
        Refund some or all of an order for the operator, and return the most that may be refunded by that.

        It is not repeated after a crash: the operator looks first.
        """
        try:
            pending = refunds.refund(order_id, amount=amount, reason="goodwill", now=self.clock())
        except refunds.RefundExceedsCapture:
            return 0
        except Crash:
            self.restart()
            return amount or captured
        return sum(refund.amount for refund in pending)

    def deliver(self, webhook: LedgerEntry, *, body: bytes | None = None) -> bool:
        """
        Deliver a webhook, and return whether it was accepted; after a crash it is still undelivered.

        :param body: if it is not the webhook's own.
        """
        sent = body or webhook.detail["body"].encode()
        try:
            inbox.receive(sent, {"webhook-id": webhook.key}, now=self.clock())
        except Crash:
            self.restart()
            return False
        except inbox.EventIdReused:
            return False
        if webhook not in self.provider.delivered:
            self.provider.delivered.append(webhook)
        return True

    def work(self, how_much: Work) -> None:
        if how_much is Work.ALL:
            self.drain()
        elif how_much is Work.A_BATCH:
            self.deliver_batch()

    def deliver_batch(self) -> None:
        """
        Deliver one batch to every subscriber, until the process crashes.
        """
        try:
            self.relay.deliver_due()
        except Crash:
            self.restart()

    def drain(self) -> None:
        self.retry(lambda: self.relay.drain(timeout=3_600))
        self.drained_at = self.clock.moment

    def take_over(self) -> None:
        """
        Let other workers deliver what this one has claimed for longer than its lease, one after the crash of another.
        They have connections to the providers of their own.
        """
        _free_connections.cache_clear()
        self.clock.advance(lease() + timedelta(seconds=1))
        has_crashed = True
        while has_crashed:
            with suppress(Crash):
                Relay(clock=self.clock).drain(timeout=3_600)
                has_crashed = False

    def reconcile(self) -> None:
        self.retry(reconciliation.reconcile_lately)
        self.reconciled_at = self.clock.moment

    def replay(self) -> int:
        return self.retry(lambda: Delivery.objects.replay(self.clock()))

    def advance(self, time: timedelta) -> None:
        """
        Advance the clock. The relay runs at least once in a lease, and the reconciliation once in an hour.
        """
        self.clock.advance(time)
        if self.clock.moment - self.drained_at > lease():
            self.drain()
        if self.clock.moment - self.reconciled_at > HOUR:
            self.reconcile()
            self.drain()

    def retry(self, step: Callable[[], T]) -> T:
        """
        Execute the step; after a crash, execute it again in a new process.
        """
        while True:
            try:
                return step()
            except Crash:
                self.restart()

    def restart(self) -> None:
        """
        Discard the memory of the process.
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
