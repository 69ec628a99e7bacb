"""
The verdict finds each wrong that it is there to find, when somebody does it behind the shop's back.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from messaging.models import Delivery
from orders.models import Order
from payments.models import Capture
from payments.simulator.dealings import RefundWish, Wish
from payments.simulator.server import Simulator, running
from shop.settings.groups import SIMULATED_GATEWAY
from tests.concurrency import verdict
from tests.concurrency.ledger import Ledger
from tests.concurrency.people import Customer, Operator
from tests.concurrency.premises import SECRET
from tests.programs import LOCALHOST, free_port
from tests.waiting import eventually

pytestmark = pytest.mark.django_db

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@dataclass
class Day:
    """
    One order that is paid and one that is declined.
    """

    simulator: Simulator
    ledger: Ledger
    customer: Customer
    operator: Operator

    @property
    def paid(self) -> Order:
        return Order.objects.get(payment_method="tok_visa")

    def wrongs(self) -> set[str]:
        money = verdict.wrongs_of_money(self.customer, self.operator, self.ledger)
        others = {
            "lost": verdict.lost(self.customer),
            "stuck": verdict.stuck(),
            "dead letters": verdict.dead_letters(self.ledger).unexpected.total(),
        }
        return {name for name, count in (money | others).items() if count}

    def charge(self, order_id: str) -> None:
        """
        Charge as much as was paid, and call nobody.
        """
        wish = Wish(key="key", order_id=order_id, amount=self.paid.total, currency="GBP", payment_method="tok_never")
        self.simulator.bank.charge(wish)
        eventually(lambda: self.simulator.bank.find("key").captured)


@pytest.fixture
def day(drain, settings, tmp_path) -> Iterator[Day]:
    path, nowhere = tmp_path / "ledger.sqlite3", f"http://{LOCALHOST}:{free_port()}/"
    with running(ledger=path, callback_url=nowhere, secrets=[SECRET], delay=0.05) as simulator:
        settings.PAYMENTS = replace(
            settings.PAYMENTS, gateway=SIMULATED_GATEWAY, simulator_url=simulator.address, webhook_secrets=(SECRET,)
        )
        dice = random.Random(2)
        day = Day(simulator, Ledger(path), Customer(dice, ["tok_visa"]), Operator(dice, takes_back=0))
        day.customer.order(token="tok_visa")
        day.customer.order(token="tok_declined")
        drain()
        eventually(lambda: len(day.ledger.first_ends()) == 2)
        drain(after=timedelta(hours=1))
        yield day


def charge_again(day: Day) -> None:
    day.charge(str(day.paid.pk))


def charge_for_nobody(day: Day) -> None:
    day.charge(UNKNOWN)


def forget_a_capture(day: Day) -> None:
    Capture.objects.all().delete()


def give_back_unasked(day: Day) -> None:
    [[money]] = day.ledger.captures().values()
    day.simulator.refunds.refund(money.charge, RefundWish(key="unasked", amount=1, currency=money.currency))


def grant_in_vain(day: Day) -> None:
    day.operator.granted[str(day.paid.pk)] = 1


def confirm_unpaid(day: Day) -> None:
    Order.objects.filter(payment_method="tok_declined").update(status="confirmed", cancel_reason="")


def cancel_for_nothing(day: Day) -> None:
    Order.objects.filter(payment_method="tok_visa").update(status="cancelled", cancel_reason="expired")


def leave_open(day: Day) -> None:
    Order.objects.filter(payment_method="tok_declined").update(status="placed", cancel_reason="")


def give_up(day: Day) -> None:
    Delivery.objects.filter(pk=Delivery.objects.latest("pk").pk).update(
        status=Delivery.Status.DEAD, delivered_at=None, error_class="KeyError"
    )


MONEY = "money difference"
KEPT = "orders that kept the wrong money"
ENDS = "ends that nothing explains"
REFUNDED = "orders refunded otherwise than granted"


class TestVerdict:
    def test_finds_nothing_where_nothing_is_wrong(self, day):
        assert day.wrongs() == set()

    @pytest.mark.parametrize(
        ("do", "found"),
        [
            (charge_again, {"double charges", "orphan charges", MONEY, KEPT}),
            (charge_for_nobody, {"orphan charges", MONEY}),
            (forget_a_capture, {"orphan charges"}),
            (give_back_unasked, {"orphan charges", MONEY, KEPT}),
            (grant_in_vain, {MONEY, KEPT, REFUNDED}),
            (confirm_unpaid, {MONEY, KEPT, ENDS}),
            (cancel_for_nothing, {MONEY, KEPT, ENDS}),
            (leave_open, {"lost", "stuck", ENDS}),
            (give_up, {"dead letters"}),
        ],
    )
    def test_finds_what_was_done_behind_the_shops_back(self, day, do: Callable[[Day], None], found):
        do(day)

        assert day.wrongs() == found
