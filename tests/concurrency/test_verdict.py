"""The verdict finds each violation that it is there to find."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging.kernel.ids import new_id
from messaging.models import Attempt, Delivery, OutboxMessage
from orders.models import Order
from payments.models import Capture
from payments.simulator import refunds
from payments.simulator.charges import ChargeCommand, RefundCommand
from payments.simulator.server import Simulator
from shop.settings.groups import SIMULATED_GATEWAY
from tests.concurrency import verdict
from tests.concurrency.customers import Customer, LocalCustomer, Operator
from tests.concurrency.ledger import SimulatorLedger
from tests.concurrency.running_shop import SECRET
from tests.programs import LOCALHOST, free_port
from tests.simulators import running
from tests.waiting import eventually

pytestmark = pytest.mark.django_db

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@dataclass
class Day:
    """One order that is paid and one that is declined."""

    simulator: Simulator
    ledger: SimulatorLedger
    customer: Customer
    operator: Operator

    @property
    def paid(self) -> Order:
        return Order.objects.get(payment_method="tok_visa")

    def violations(self) -> set[str]:
        money = verdict.money_violations(self.customer, self.operator, self.ledger)
        others = {
            "lost": verdict.lost(self.customer),
            "stuck": verdict.stuck(),
            "dead letters": verdict.dead_letters(self.ledger).unexpected.total(),
        }
        return {name for name, count in (money | others).items() if count}

    def charge(self, order_id: str) -> None:
        """Charge the paid order's total, without a callback."""
        command = ChargeCommand(
            key="key", order_id=order_id, amount=self.paid.total, currency="GBP", payment_method="tok_never"
        )
        self.simulator.processor.charge(command)
        eventually(lambda: self.simulator.processor.find("key").captured)


@pytest.fixture
def day(drain, settings, tmp_path) -> Iterator[Day]:
    path, closed = tmp_path / "ledger.sqlite3", f"http://{LOCALHOST}:{free_port()}/"
    with running(ledger=path, callback_url=closed, secrets=[SECRET], delay=0.05) as simulator:
        settings.PAYMENTS = replace(
            settings.PAYMENTS, gateway=SIMULATED_GATEWAY, simulator_url=simulator.address, webhook_secrets=(SECRET,)
        )
        rng = random.Random(2)
        day = Day(simulator, SimulatorLedger(path), LocalCustomer(rng, ["tok_visa"]), Operator(rng, refund_share=0))
        day.customer.order(token="tok_visa")
        day.customer.order(token="tok_declined")
        drain()
        eventually(lambda: len(day.ledger.first_ends()) == 2)
        drain(after=timedelta(hours=1))
        yield day


def charge_again(day: Day) -> None:
    day.charge(str(day.paid.pk))


def charge_an_unknown_order(day: Day) -> None:
    day.charge(UNKNOWN)


def delete_a_capture(day: Day) -> None:
    Capture.objects.all().delete()


def refund_unrequested(day: Day) -> None:
    [[money]] = day.ledger.captures().values()
    refunds.refund(
        day.simulator.processor, money.charge, RefundCommand(key="unrequested", amount=1, currency=money.currency)
    )


def grant_without_refunding(day: Day) -> None:
    day.operator.granted[str(day.paid.pk)] = 1


def confirm_unpaid(day: Day) -> None:
    Order.objects.filter(payment_method="tok_declined").update(status="confirmed", cancel_reason="")


def cancel_a_paid_order(day: Day) -> None:
    Order.objects.filter(payment_method="tok_visa").update(status="cancelled", cancel_reason="expired")


def reopen(day: Day) -> None:
    Order.objects.filter(payment_method="tok_declined").update(status="placed", cancel_reason="")


def bury_a_delivery(day: Day) -> None:
    Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(
        status=Delivery.Status.DEAD, delivered_at=None, error_class="KeyError"
    )


MONEY = "money difference"
KEPT = "orders that kept the wrong money"
ENDS = "ends without a reason"
REFUNDED = "orders refunded otherwise than granted"


class TestVerdict:
    def test_finds_nothing_without_a_violation(self, day):
        assert day.violations() == set()

    @pytest.mark.parametrize(
        ("corrupt", "violations"),
        [
            (charge_again, {"double charges", "orphan charges", MONEY, KEPT}),
            (charge_an_unknown_order, {"orphan charges", MONEY}),
            (delete_a_capture, {"orphan charges"}),
            (refund_unrequested, {"orphan charges", MONEY, KEPT}),
            (grant_without_refunding, {MONEY, KEPT, REFUNDED}),
            (confirm_unpaid, {MONEY, KEPT, ENDS}),
            (cancel_a_paid_order, {MONEY, KEPT, ENDS}),
            (reopen, {"lost", "stuck", ENDS}),
            (bury_a_delivery, {"dead letters"}),
        ],
    )
    def test_finds_a_corruption(self, day, corrupt: Callable[[Day], None], violations):
        corrupt(day)

        assert day.violations() == violations


def test_an_attempt_may_fail_because_its_session_was_ended():
    drop = "consuming input failed: server closed the connection unexpectedly\n\tThis probably means"
    for error in ("terminating connection due to administrator command", drop, "canceling statement"):
        fail(error)

    assert verdict.failed_without_reason() == {"inventory.reserve_stock: canceling statement": 1}


def fail(error: str) -> None:
    """Record an attempt at a delivery that failed with this error of the database."""
    message = OutboxMessage.objects.create(
        type="orders.order_placed",
        version=1,
        key="17",
        payload="{}",
        correlation_id=new_id(),
        published_at=timezone.now(),
    )
    delivery = Delivery.objects.create(
        message=message, subscriber="inventory.reserve_stock", key="17", due_at=timezone.now()
    )
    Attempt.objects.create(
        delivery=delivery, number=1, failed_at=timezone.now(), error_class="OperationalError", error=error
    )
