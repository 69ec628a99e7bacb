"""
For each check at least one change of data that violates its rule, and no other rule.
"""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from django.db import connection
from django.db.models import F, Model
from django.utils import timezone

from inventory.models import Reservation, ReservationLine, StockItem, StockMovement
from messaging.contracts import PaymentDueSoon
from messaging.models import Delivery, OutboxMessage
from messaging.outbox import publish
from messaging.relay import Relay
from notifications.models import Notification
from orders.models import HistoryEntry, Order, OrderRefund
from payments.models import Capture, PaymentIntent, Refund
from tests.factories import place_order
from tests.shop.operations.audit.day import HOUR, Day, cancel

Mutant = Callable[[Day], object]
MUTANTS: list[tuple[str, Mutant]] = []


def breaks(check: str) -> Callable[[Mutant], Mutant]:
    """
    Register a mutant that violates this check alone.
    """

    def register(mutant: Mutant) -> Mutant:
        MUTANTS.append((check, mutant))
        return mutant

    return register


def unguard(model: type[Model]) -> None:
    """
    Hide a table behind a copy without constraints until the test rolls back, so that a mutant can break them.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE {table} AS SELECT * FROM {table}")


def make_overdue(order: Order, subscriber: str, wait: timedelta) -> None:
    delivery = Delivery.objects.filter(key=str(order.pk), subscriber=subscriber)
    delivery.update(status="pending", delivered_at=None, due_at=timezone.now() - wait)


def move_stock(quantity: int, kind: str) -> None:
    StockMovement.objects.create(sku="RED-CHAIR", kind=kind, quantity=quantity, at=timezone.now())


@breaks("S1")
def more_is_reserved_than_on_hand(day: Day) -> None:
    unguard(StockItem)
    move_stock(-7, "withdrawn")
    StockItem.objects.filter(sku="RED-CHAIR").update(on_hand=0)


@breaks("S2")
def a_reservation_is_counted_twice(day: Day) -> None:
    StockItem.objects.filter(sku="RED-CHAIR").update(reserved=F("reserved") + 1)


@breaks("S3")
def stock_appears_from_nowhere(day: Day) -> None:
    StockItem.objects.filter(sku="RED-CHAIR").update(on_hand=F("on_hand") + 1)


@breaks("S4")
def stock_leaves_before_it_comes_in(day: Day) -> None:
    move_stock(-100, "withdrawn")
    move_stock(100, "received")


@breaks("S5")
def another_quantity_is_reserved(day: Day) -> None:
    ReservationLine.objects.filter(reservation__order_id=day.declined.pk).update(quantity=7)


@breaks("S6")
def stock_ships_for_an_unknown_order(day: Day) -> None:
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
    unguard(Capture)
    capture = Capture.objects.get(intent__order_id=day.bob.pk)
    # An amount of 0 keeps O7 satisfied.
    capture.pk, capture.amount, capture.reference = uuid4(), 0, "again"
    capture.save(force_insert=True)


@breaks("O5")
def a_refund_is_never_sent(day: Day) -> None:
    order = place_order(payment_method="tok_timeout")
    relay = Relay()
    relay.drain()
    cancel(order)
    while not Refund.objects.filter(status="pending").exists():
        assert relay.deliver_due()
    Delivery.objects.filter(subscriber="payments.send_refund", status="pending").update(due_at=timezone.now() + HOUR)
    relay.drain()
    Refund.objects.filter(status="pending").update(requested_at=timezone.now() - timedelta(days=3))


@breaks("O6")
def two_customers_pay_each_others_order(day: Day) -> None:
    ada, bob = (PaymentIntent.objects.get(order_id=order.pk) for order in (day.ada, day.bob))
    Capture.objects.filter(intent=ada).update(amount=day.bob.total)
    Capture.objects.filter(intent=bob).update(amount=day.ada.total)


@breaks("O7")
def a_penny_is_lost(day: Day) -> None:
    Order.objects.filter(pk=day.ada.pk).update(refunded=F("refunded") + 1)


@breaks("O11")
def a_refund_is_not_counted(day: Day) -> None:
    Capture.objects.filter(intent__order_id=day.ada.pk).update(returned=0)


@breaks("O12")
def a_refund_is_not_recorded_with_its_order(day: Day) -> None:
    OrderRefund.objects.filter(order=day.ada).delete()


@breaks("O12")
def a_refund_is_recorded_with_another_amount(day: Day) -> None:
    OrderRefund.objects.filter(order=day.ada).update(amount=F("amount") + 1)


@breaks("O9")
def a_key_belongs_to_two_orders(day: Day) -> None:
    unguard(Order)
    Order.objects.filter(pk__in=[day.ada.pk, day.bob.pk]).update(idempotency_key="once")


def wait_too_long(order: Order, **expiry: object) -> None:
    HistoryEntry.objects.filter(order=order, status="awaiting_payment").update(at=timezone.now() - 3 * HOUR)
    Delivery.objects.filter(key=str(order.pk), subscriber="payments.settle_overdue").update(**expiry)


@breaks("O10")
def an_order_expires_far_too_late(day: Day) -> None:
    wait_too_long(day.waiting, due_at=timezone.now() + 2 * HOUR)


@breaks("O10")
def an_expiry_has_no_effect(day: Day) -> None:
    wait_too_long(day.waiting, status="delivered", delivered_at=timezone.now())


@breaks("M1")
def an_event_is_missing(day: Day) -> None:
    OutboxMessage.objects.filter(key=str(day.waiting.pk), type=PaymentDueSoon.type).delete()


@breaks("M1")
def an_event_is_published_twice(day: Day) -> None:
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
    make_overdue(day.ada, "inventory.reserve_stock", timedelta())


@breaks("M4")
def no_worker_delivers(day: Day) -> None:
    reminder = Delivery.objects.filter(key=str(day.waiting.pk), subscriber="notifications.send_reminder")
    reminder.update(due_at=timezone.now() - timedelta(minutes=10))


@breaks("M4")
def one_delivery_is_skipped(day: Day) -> None:
    make_overdue(day.bob, "payments.take_payment", 2 * HOUR)


@breaks("N1")
def an_event_has_no_notification(day: Day) -> None:
    Notification.objects.filter(order_id=day.bob.pk, kind="order_confirmed").delete()


@breaks("N2")
def a_notification_is_sent_twice(day: Day) -> None:
    unguard(Notification)
    notification = Notification.objects.get(order_id=day.bob.pk, kind="order_confirmed")
    notification.pk = uuid4()
    notification.save(force_insert=True)


@breaks("N3")
def a_mail_stays_unsent(day: Day) -> None:
    Notification.objects.filter(order_id=day.bob.pk, kind="order_confirmed").update(status="sending")


@breaks("N3")
def a_useful_mail_stays_unknown(day: Day) -> None:
    Notification.objects.filter(order_id=day.bob.pk, kind="order_confirmed").update(status="unknown")
