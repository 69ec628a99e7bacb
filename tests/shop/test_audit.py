"""
The audit is right twice: it stays green at every commit of every journey, and each check goes red when its one truth,
and no other, is broken.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.models import F, Model
from django.utils import timezone

from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from messaging.claims import Claim
from messaging.contracts import PaymentDueSoon
from messaging.models import Delivery, OutboxMessage
from messaging.outbox import publish
from messaging.relay import Relay
from messaging.subscribers import all_subscribers
from notifications.models import Notification
from orders.models import HistoryEntry, Order
from orders.services import cancel_order
from payments.models import PaymentIntent, Refund
from payments.services import refund
from shop import audit
from shop.audit.messages import EFFECTS_OF
from shop.audit.report import snapshot
from tests.factories import make_stock, place_order

HOUR = timedelta(hours=1)


def violated() -> list[str]:
    return audit.run(now=timezone.now()).violated


def cancel(order: Order) -> None:
    cancel_order(str(order.pk), reason=Order.CancelReason.BY_CUSTOMER, now=timezone.now())


def give_back(order: Order, amount: int) -> None:
    refund(str(order.pk), amount=amount, reason="a scratch", now=timezone.now())


class AuditedRelay(Relay):
    """
    A relay that is audited after every delivery.
    """

    def _deliver(self, held: Claim) -> None:
        super()._deliver(held)
        assert violated() == [], f"after {held.subscriber.name} got {held.messages}"


@pytest.fixture
def drain_audited(settings) -> Callable[..., None]:
    """
    Deliver everything due, one delivery at a time and audited between them.
    """
    settings.MESSAGING = settings.MESSAGING | {"BATCH_SIZE": 1}

    def deliver(*, after: timedelta = timedelta(), rounds: int | None = None) -> None:
        assert violated() == []
        relay = AuditedRelay(clock=lambda: timezone.now() + after)
        while rounds != 0 and relay.work_off():
            rounds = rounds and rounds - 1

    return deliver


@pytest.mark.django_db
class TestAuditStaysGreenAtEveryCommitWhen:
    @pytest.fixture(autouse=True)
    def _chairs(self):
        make_stock(3)

    def test_orders_are_confirmed(self, drain_audited):
        orders = [place_order({"RED-CHAIR": 2}).pk, place_order().pk]

        drain_audited()

        assert set(Order.objects.filter(pk__in=orders).values_list("status", flat=True)) == {"confirmed"}
        assert audit.run(now=timezone.now()).verdict is audit.Verdict.OK

    def test_stock_runs_out(self, drain_audited):
        make_stock(1, sku="OAK-TABLE")
        place_order({"RED-CHAIR": 1, "OAK-TABLE": 2})

        drain_audited()

        assert Order.objects.get().cancel_reason == "out_of_stock"

    def test_a_payment_is_declined(self, drain_audited):
        place_order(payment_method="tok_declined")

        drain_audited()

        assert Order.objects.get().cancel_reason == "payment_failed"

    def test_an_order_costs_nothing(self, drain_audited):
        make_stock(1, sku="GIFT", price=0)
        place_order({"GIFT": 1})

        drain_audited()

        assert Order.objects.get().status == "confirmed"

    def test_an_answer_is_lost(self, drain_audited, ledger):
        place_order(payment_method="tok_timeout")

        drain_audited()
        drain_audited(after=timedelta(minutes=1))

        assert Order.objects.get().status == "confirmed"

    def test_a_payment_expires(self, drain_audited, ledger):
        place_order(payment_method="tok_pending")

        drain_audited()
        drain_audited(after=HOUR)

        assert Order.objects.get().cancel_reason == "expired"

    def test_a_customer_cancels_at_once(self, drain_audited):
        cancel(place_order())

        drain_audited()

        assert not Order.objects.get().history.filter(status="awaiting_payment").exists()

    @pytest.mark.parametrize(
        ("token", "rounds", "refunds"),
        [("tok_visa", 2, 1), ("tok_visa", 3, 1), ("tok_pending", 3, 0), ("tok_timeout", 3, 1)],
    )
    def test_a_customer_cancels_while_paying(self, drain_audited, ledger, token, rounds, refunds):
        order = place_order(payment_method=token)
        drain_audited(rounds=rounds)
        cancel(order)

        drain_audited()
        drain_audited(after=HOUR)

        assert Order.objects.get().status == "cancelled"
        assert len(ledger.refunded) == refunds

    def test_money_is_given_back(self, drain_audited, ledger):
        order = place_order({"RED-CHAIR": 2})
        drain_audited()

        give_back(order, 1_000)
        drain_audited()
        give_back(order, 8_000)
        drain_audited()

        assert Order.objects.get().status == "refunded"


@dataclass
class Day:
    """
    A day in a shop, delivered to the end: two orders confirmed, of the first a part refunded; one out of stock, one
    declined, one waiting for its customer to pay.
    """

    ada: Order
    bob: Order
    sold_out: Order
    declined: Order
    waiting: Order


@pytest.fixture
def day(drain) -> Day:
    make_stock(10)
    make_stock(1, sku="OAK-TABLE")
    day = Day(
        ada=place_order({"RED-CHAIR": 2}),
        bob=place_order(),
        sold_out=place_order({"OAK-TABLE": 2}),
        declined=place_order(payment_method="tok_declined"),
        waiting=place_order(payment_method="tok_pending"),
    )
    drain()
    give_back(day.ada, 1_000)
    drain()
    return day


Mutant = Callable[[Day], object]
MUTANTS: list[tuple[str, Mutant]] = []


def breaks(check: str) -> Callable[[Mutant], Mutant]:
    """
    Register a way to break the truth that this check watches, and no other.
    """

    def register(mutant: Mutant) -> Mutant:
        MUTANTS.append((check, mutant))
        return mutant

    return register


def unguard(model: type[Model]) -> None:
    """
    Hide a table behind a copy of it that has no constraints, until the test rolls back.

    What the database itself refuses, on both databases, could not be broken otherwise.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE {table} AS SELECT * FROM {table}")


def wait_for_delivery(order: Order, subscriber: str, wait: timedelta) -> None:
    heard = Delivery.objects.filter(key=str(order.pk), subscriber=subscriber)
    heard.update(status="pending", delivered_at=None, due_at=timezone.now() - wait)


def move_stock(quantity: int, kind: str) -> None:
    StockMovement.objects.create(sku="RED-CHAIR", kind=kind, quantity=quantity, at=timezone.now())


@breaks("S1")
def more_is_promised_than_lies_there(day: Day) -> None:
    unguard(StockItem)
    move_stock(-7, "withdrawn")
    StockItem.objects.filter(sku="RED-CHAIR").update(on_hand=0)


@breaks("S2")
def a_promise_is_counted_twice(day: Day) -> None:
    StockItem.objects.filter(sku="RED-CHAIR").update(reserved=F("reserved") + 1)


@breaks("S3")
def stock_appears_from_nowhere(day: Day) -> None:
    StockItem.objects.filter(sku="RED-CHAIR").update(on_hand=F("on_hand") + 1)


@breaks("S4")
def stock_leaves_before_it_comes_in(day: Day) -> None:
    move_stock(-100, "withdrawn")
    move_stock(100, "received")


@breaks("S5")
def another_quantity_was_promised(day: Day) -> None:
    ReservationLine.objects.filter(reservation__order_id=day.declined.pk).update(quantity=7)


@breaks("S6")
def stock_ships_for_nobodys_order(day: Day) -> None:
    StockMovement.objects.filter(order_id=day.ada.pk).update(order_id=uuid4())


@breaks("O1")
def a_step_is_skipped(day: Day) -> None:
    HistoryEntry.objects.filter(order=day.ada, status="confirmed").update(previous="placed")


@breaks("O1")
def a_status_has_no_history(day: Day) -> None:
    Order.objects.filter(pk=day.ada.pk).update(status="refunded")


@breaks("O2")
def a_penny_is_added(day: Day) -> None:
    Order.objects.filter(pk=day.sold_out.pk).update(total=F("total") + 1)


@breaks("O3")
def a_cancelled_order_keeps_its_stock(day: Day) -> None:
    Reservation.objects.filter(order_id=day.declined.pk).update(status="held", ended_at=None)
    StockItem.objects.filter(sku="RED-CHAIR").update(reserved=F("reserved") + 1)


@breaks("O4")
def an_order_is_captured_twice(day: Day) -> None:
    unguard(PaymentIntent)
    intent = PaymentIntent.objects.get(order_id=day.bob.pk)
    # Of nothing, so that the books balance; long ago, so that its messages may be pruned.
    intent.pk, intent.amount, intent.created_at = uuid4(), 0, timezone.now() - timedelta(days=365)
    intent.save(force_insert=True)


@breaks("O5")
def a_refund_is_never_sent(day: Day) -> None:
    order = place_order(payment_method="tok_timeout")
    relay = Relay()
    relay.drain()
    cancel(order)
    while not Refund.objects.filter(status="pending").exists():
        assert relay.work_off()
    Delivery.objects.filter(subscriber="payments.send_refund", status="pending").update(due_at=timezone.now() + HOUR)
    relay.drain()
    Refund.objects.filter(status="pending").update(requested_at=timezone.now() - timedelta(days=3))


@breaks("O6")
def two_customers_pay_each_others_order(day: Day) -> None:
    PaymentIntent.objects.filter(order_id=day.ada.pk).update(amount=day.bob.total)
    PaymentIntent.objects.filter(order_id=day.bob.pk).update(amount=day.ada.total)


@breaks("O7")
def a_penny_is_lost(day: Day) -> None:
    Order.objects.filter(pk=day.ada.pk).update(refunded=F("refunded") + 1)


@breaks("O9")
def a_key_belongs_to_two_orders(day: Day) -> None:
    unguard(Order)
    Order.objects.filter(pk__in=[day.ada.pk, day.bob.pk]).update(idempotency_key="once")


@breaks("O10")
def an_order_waits_for_ever(day: Day) -> None:
    HistoryEntry.objects.filter(order=day.waiting, status="awaiting_payment").update(at=timezone.now() - 3 * HOUR)


@breaks("M1")
def an_announcement_is_missing(day: Day) -> None:
    OutboxMessage.objects.filter(key=str(day.waiting.pk), type=PaymentDueSoon.type).delete()


@breaks("M1")
def something_is_announced_twice(day: Day) -> None:
    again = PaymentDueSoon(order_id=str(day.waiting.pk), amount=4_500, currency="GBP", email="ada@example.com")
    publish(again, at=timezone.now() + HOUR)


@breaks("M2")
def a_subscriber_is_left_out(day: Day) -> None:
    Delivery.objects.filter(key=str(day.waiting.pk), subscriber="payments.settle_overdue").delete()


@breaks("M2")
def a_subscriber_was_renamed(day: Day) -> None:
    renamed = Delivery.objects.filter(key=str(day.waiting.pk), subscriber="payments.settle_overdue")
    renamed.update(subscriber="payments.settle_late")


@breaks("M2")
def a_delivery_is_lost(day: Day) -> None:
    Delivery.objects.filter(key=str(day.waiting.pk), subscriber="payments.settle_overdue").update(status="lost")


@breaks("M3")
def stock_is_reserved_before_its_delivery(day: Day) -> None:
    wait_for_delivery(day.ada, "inventory.reserve_stock", timedelta())


@breaks("M4")
def nobody_delivers(day: Day) -> None:
    reminder = Delivery.objects.filter(key=str(day.waiting.pk), subscriber="notifications.send_reminder")
    reminder.update(due_at=timezone.now() - timedelta(minutes=10))


@breaks("M4")
def one_delivery_is_passed_over(day: Day) -> None:
    wait_for_delivery(day.bob, "notifications.send_confirmation", 2 * HOUR)


@breaks("N1")
def a_mail_stays_unsent(day: Day) -> None:
    Notification.objects.filter(order_id=day.bob.pk, kind="order_confirmed").update(status="sending")


@breaks("N2")
def a_customer_is_told_twice(day: Day) -> None:
    unguard(Notification)
    notification = Notification.objects.get(order_id=day.bob.pk, kind="order_confirmed")
    notification.pk = uuid4()
    notification.save(force_insert=True)


@pytest.mark.django_db
class TestEachCheck:
    @pytest.mark.parametrize(
        ("check", "mutant"), [pytest.param(*pair, id=f"{pair[0]}-{pair[1].__name__}") for pair in MUTANTS]
    )
    def test_alone_sees_its_truth_broken(self, day, check, mutant):
        assert violated() == []

        mutant(day)

        assert violated() == [check]

    def test_lets_a_backlog_be_worked_off(self, day):
        wait_for_delivery(day.bob, "notifications.send_confirmation", timedelta(minutes=10))

        assert violated() == []

    def test_lets_messages_be_pruned(self, day):
        month_ago = timezone.now() - timedelta(days=31)
        HistoryEntry.objects.filter(order=day.bob).update(at=month_ago)
        Reservation.objects.filter(order_id=day.bob.pk).update(created_at=month_ago, ended_at=month_ago)
        PaymentIntent.objects.filter(order_id=day.bob.pk).update(created_at=month_ago)
        Notification.objects.filter(order_id=day.bob.pk).update(created_at=month_ago)
        OutboxMessage.objects.filter(key=str(day.bob.pk)).delete()

        assert violated() == []

    def test_has_a_mutant(self):
        assert {check for check, _ in MUTANTS} == {check.id for check in audit.CHECKS}

    def test_knows_every_subscriber_whose_effects_it_explains_by_its_present_name(self):
        assert EFFECTS_OF.keys() <= all_subscribers().keys()


@pytest.mark.django_db(transaction=True)
class TestSnapshot:
    def test_shows_one_state_and_lets_others_write_meanwhile(self):
        make_stock(10)

        with snapshot():
            before = StockItem.objects.get().on_hand
            elsewhere(lambda: StockItem.objects.update(on_hand=11))
            after = StockItem.objects.get().on_hand

        assert (before, after) == (10, 10)
        assert StockItem.objects.get().on_hand == 11

    def test_keeps_nothing_that_is_written_inside(self):
        make_stock(10)

        with suppress(DatabaseError), snapshot():
            StockItem.objects.update(on_hand=11)

        assert StockItem.objects.get().on_hand == 10


def elsewhere(write: Callable[[], object]) -> None:
    """
    Write on a connection of its own, and come back when that is committed.
    """

    def commit() -> None:
        try:
            write()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(commit).result(timeout=10)


@pytest.mark.django_db
class TestAuditCommand:
    def test_says_ok_and_ends_well(self, day):
        output, status = told()

        assert "ok         S1           2 rows  of every sku, on hand ≥ reserved ≥ 0" in output.splitlines()
        assert output.endswith("The verdict: ok.\n")
        assert status == 0

    def test_names_a_violation_and_exits_with_1(self, day):
        a_penny_is_added(day)

        output, status = told()

        assert "violation  O2           5 rows  an order's total is the sum of price × quantity" in output
        assert f"1 violations, for example {day.sold_out.pk}" in output
        assert status == 1

    def test_does_not_know_an_empty_shop_and_exits_with_2(self):
        output, status = told("--json")

        report = json.loads(output)
        assert {report["verdict"], *(check["verdict"] for check in report["checks"])} == {"unknown"}
        assert status == 2

    def test_gives_at_most_five_examples(self, day):
        unguard(StockItem)
        StockItem.objects.bulk_create([StockItem(sku=f"CHAIR-{number}", reserved=-1) for number in range(6)])

        output, _ = told("--json")

        bounds = json.loads(output)["checks"][0]
        assert bounds == {
            "id": "S1",
            "rule": "of every sku, on hand ≥ reserved ≥ 0",
            "verdict": "violation",
            "evaluated": 8,
            "violations": 6,
            "examples": ["CHAIR-0", "CHAIR-1", "CHAIR-2", "CHAIR-3", "CHAIR-4"],
        }

    def test_exits_with_3_when_there_is_no_database(self, tmp_path):
        nowhere = {"DATABASE_URL": f"sqlite:///{tmp_path}/no/such/folder.sqlite3", "DEBUG": "on"}

        done = subprocess.run(
            [sys.executable, "manage.py", "audit"],
            cwd=settings.BASE_DIR,
            env=os.environ | nowhere,
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.returncode, done.stdout) == (3, "")
        assert "The audit could not run: unable to open database file" in done.stderr


def told(*arguments: str) -> tuple[str, int]:
    """
    Run the command, and return what it prints and its exit status.
    """
    output, status = StringIO(), 0
    try:
        call_command("audit", *arguments, stdout=output)
    except SystemExit as end:
        status = end.code
    return output.getvalue(), status
